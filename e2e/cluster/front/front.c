// Program front is the CNI plugins that containerd starts for each Pod. It is C and static, because such a program
// starts much sooner than a Go program.
//
// Its name picks its part:
//   loopback, cluster        CNI plugins: the node's supervisor does the work, this hands over the call and the answer
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef RUN_DIR
#define RUN_DIR "/run/cluster"
#endif
#define PLUGIN_SOCKET RUN_DIR "/cni.sock"

extern char **environ;

static void die(const char *what) {
	dprintf(STDERR_FILENO, "front: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void write_all(int fd, const char *data, size_t size) {
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("writing");
		data += n;
		size -= n;
	}
}

// read_some reads up to size bytes and returns 0 at the end.
static size_t read_some(int fd, char *data, size_t size) {
	for (;;) {
		ssize_t n = read(fd, data, size);
		if (n >= 0)
			return n;
		if (errno != EINTR)
			die("reading");
	}
}

static void copy(int from, int to) {
	char buffer[4096];
	for (size_t n; (n = read_some(from, buffer, sizeof buffer)) > 0;)
		write_all(to, buffer, n);
}

// plugin sends its name, its CNI_ variables and its input to the supervisor. The answer is one byte, the exit status,
// and then the output.
static int plugin(const char *name) {
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = PLUGIN_SOCKET};
	char status;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		die("reaching the node at " PLUGIN_SOCKET);
	write_all(fd, name, strlen(name) + 1);
	for (char **var = environ; *var; var++)
		if (strncmp(*var, "CNI_", 4) == 0)
			write_all(fd, *var, strlen(*var) + 1);
	write_all(fd, "", 1);
	copy(STDIN_FILENO, fd);
	if (shutdown(fd, SHUT_WR) < 0)
		die("ending the call");
	if (read_some(fd, &status, 1) == 0) {
		errno = EPIPE;
		die("waiting for the node's answer");
	}
	copy(fd, STDOUT_FILENO);
	return status;
}

int main(int argc, char **argv) {
	char *name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	(void)argc;
	return plugin(name);
}
