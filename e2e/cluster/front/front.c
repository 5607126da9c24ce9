// Program front is what containerd starts for each container. It answers by itself what can be answered cheaply, and
// becomes the real program for the rest. A Pod takes some twenty starts of programs. This one is C and static, because
// such a program starts much sooner than a Go program.
//
// Its name picks its part:
//   loopback, cluster        CNI plugins: the node's supervisor does the work, this hands over the call and the answer
//   runtime                  crun, as containerd expects it to speak
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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

// run_crun runs crun to its end and adds to its standard error what containerd waits to read there.
static int run_crun(const char *crun, char **argv) {
	char said[8192], rest[512];
	size_t length = 0, n;
	int out[2], status;
	pid_t child;
	posix_spawn_file_actions_t actions;
	if (pipe2(out, O_CLOEXEC) < 0)
		die("making a pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
	errno = posix_spawn(&child, crun, &actions, NULL, argv, environ);
	if (errno)
		die(crun);
	close(out[1]);
	while ((n = read_some(out[0], said + length, sizeof said - 1 - length)) > 0)
		length += n;
	while (length == sizeof said - 1 && read_some(out[0], rest, sizeof rest) > 0)
		;
	said[length] = 0;
	write_all(STDERR_FILENO, said, length);
	if (strstr(said, strerror(ENOENT)))
		dprintf(STDERR_FILENO, "container does not exist\n");
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			die("waiting for crun");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// runtime is the crun beside it. containerd recognizes a container that is gone by runc's words alone. When a
// deletion took longer than containerd waits, containerd asks again, and without these words it asks for ever.
static int runtime(int argc, char **argv) {
	char crun[PATH_MAX];
	const char *base = strrchr(argv[0], '/');
	snprintf(crun, sizeof crun, "%.*scrun", base ? (int)(base + 1 - argv[0]) : 0, argv[0]);
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "kill") == 0 || strcmp(argv[i], "delete") == 0)
			return run_crun(crun, argv);
	execv(crun, argv);
	die(crun);
	return 1;
}

int main(int argc, char **argv) {
	char *name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	if (strcmp(name, "runtime") == 0)
		return runtime(argc, argv);
	return plugin(name);
}
