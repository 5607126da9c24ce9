package podlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"kontroler/store/view"
)

// Archive reads a stored log as an io.ReadSeeker: the head of the log and, if a part was omitted, its tail. It keeps
// one chunk in memory.
type Archive struct {
	// fetch reads a chunk by its number.
	fetch func(number int) ([]byte, error)
	// begins has the offset of each chunk, followed by the end of the last one.
	begins []int64
	place  int64
	loaded int // the number of the chunk in memory, -1 if there is none
	chunk  []byte
}

// OpenArchive opens a stored log. The context bounds all reads.
func OpenArchive(ctx context.Context, views *view.DB, log view.Log) (*Archive, error) {
	sizes, err := views.LogSizes(ctx, log)
	if err != nil {
		return nil, err
	}
	fetch := func(number int) ([]byte, error) { return views.LogChunk(ctx, log, number) }
	a := &Archive{fetch: fetch, begins: make([]int64, 1, len(sizes)+1), loaded: -1}
	for i, size := range sizes {
		a.begins = append(a.begins, a.begins[i]+int64(size))
	}
	return a, nil
}

// Size returns how many bytes are stored.
func (a *Archive) Size() int64 { return a.begins[len(a.begins)-1] }

// Seek implements io.Seeker. Offsets count stored bytes.
func (a *Archive) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += a.place
	case io.SeekEnd:
		offset += a.Size()
	}
	if offset < 0 {
		return 0, errors.New("seeking before the beginning of a log")
	}
	a.place = offset
	return offset, nil
}

// Read implements io.Reader. If retention removes the log meanwhile, the error is view.ErrLogRemoved.
func (a *Archive) Read(p []byte) (int, error) {
	if a.place >= a.Size() {
		return 0, io.EOF
	}
	// The chunk with the place is before the first one that begins after it.
	number := sort.Search(len(a.begins), func(i int) bool { return a.begins[i] > a.place }) - 1
	if number != a.loaded {
		if err := a.load(number); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.chunk[a.place-a.begins[number]:])
	a.place += int64(n)
	return n, nil
}

func (a *Archive) load(number int) error {
	packed, err := a.fetch(number)
	if err != nil {
		return err
	}
	size := a.begins[number+1] - a.begins[number]
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("unpacking chunk %d of a log: %w", number, err)
	}
	a.loaded = -1
	a.chunk = append(a.chunk[:0], make([]byte, size)...)
	if _, err := io.ReadFull(unpacked, a.chunk); err != nil {
		return fmt.Errorf("unpacking chunk %d of a log: %w", number, err)
	}
	a.loaded = number
	return nil
}
