package process

import (
	"io"
	"log/slog"
	"os"

	"k8s.io/klog/v2"
)

// NewLogger makes a logger that writes to w, in the format json or text. Empty means text on a terminal, else json.
// klog logs to it too.
func NewLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	if format == "" {
		format = "json"
		if file, ok := w.(*os.File); ok && IsTerminal(file) {
			format = "text"
		}
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if format == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	log := slog.New(handler)
	klog.SetSlogLogger(log.With("logger", "client-go"))
	return log
}

// IsTerminal reports whether a file is a terminal. The null device is none.
func IsTerminal(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
