// Program front is what containerd starts for each container. It answers by itself what can be answered cheaply, and
// becomes the real program for the rest. A Pod takes some twenty starts of programs. This one is C and static, because
// such a program starts much sooner than a Go program.
//
// Its name picks its part:
//   loopback, cluster        CNI plugins: the node's supervisor does the work, this hands over the call and the answer
//   containerd-shim-runc-v2  the shim: Debian's for a Pod, nothing more for the Pod's containers
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
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SHIM
#define SHIM "/usr/bin/containerd-shim-runc-v2"
#endif
#ifndef RUN_DIR
#define RUN_DIR "/run/cluster"
#endif
#ifndef RUNTIME_STATE
#define RUNTIME_STATE "/run/containerd/runc"
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

// flag_value returns what follows a flag, and an empty string where the flag is not given.
static const char *flag_value(int argc, char **argv, const char *flag) {
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], flag) == 0)
			return argv[i + 1];
	return "";
}

// is_gone reports whether a container has neither a state nor a mounted root file system.
static int is_gone(const char *namespace, const char *id, const char *bundle) {
	char path[PATH_MAX];
	struct stat dir, root;
	snprintf(path, sizeof path, "%s/%s/%s", RUNTIME_STATE, namespace, id);
	if (stat(path, &dir) == 0 || errno != ENOENT)
		return 0;
	snprintf(path, sizeof path, "%s/rootfs", bundle);
	return stat(path, &root) < 0 || (stat(bundle, &dir) == 0 && dir.st_dev == root.st_dev);
}

// say_killed writes a DeleteResponse, which is a protocol buffer: exit status 137 is field 2, the present time field 3,
// with the seconds as its field 1.
static void say_killed(void) {
	char message[16] = {0x10, (char)(137 | 0x80), 137 >> 7, 0x1a, 0, 0x08};
	size_t length = 6;
	unsigned long seconds = time(NULL);
	for (; seconds > 0x7f; seconds >>= 7)
		message[length++] = (char)(seconds | 0x80);
	message[length++] = (char)seconds;
	message[4] = (char)(length - 5);
	write_all(STDOUT_FILENO, message, length);
}

// read_file returns the contents of a file as a string, and NULL if it cannot be read.
static char *read_file(const char *path) {
	struct stat info;
	char *data = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &info) == 0 && (data = calloc(1, info.st_size + 1)) != NULL) {
		size_t length = 0, n;
		while ((n = read_some(fd, data + length, info.st_size - length)) > 0)
			length += n;
	}
	if (fd >= 0)
		close(fd);
	return data;
}

// answers reports whether a shim listens at an address.
static int answers(const char *address) {
	const char scheme[] = "unix://";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, ok;
	if (strncmp(address, scheme, sizeof scheme - 1) != 0 || strlen(address) - (sizeof scheme - 1) >= sizeof addr.sun_path)
		return 0;
	strcpy(addr.sun_path, address + sizeof scheme - 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		die("making a socket");
	ok = connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
	close(fd);
	return ok;
}

// pod_shim returns the address of the shim that serves the container's Pod already, and NULL if there is none. The
// working directory is the container's bundle, its neighbour is the bundle of the Pod's sandbox. A container's
// configuration names the sandbox; in any other string the quotes of the key would be escaped.
static const char *pod_shim(const char *id) {
	const char key[] = "\"io.kubernetes.cri.sandbox-id\":\"";
	char path[PATH_MAX], *config = read_file("config.json"), *sandbox = config ? strstr(config, key) : NULL, *address;
	size_t length;
	if (!sandbox)
		return NULL;
	sandbox += sizeof key - 1;
	length = strspn(sandbox, "0123456789abcdef");
	if (length == 0 || sandbox[length] != '"')
		return NULL;
	sandbox[length] = 0;
	if (strcmp(sandbox, id) == 0)
		return NULL;
	snprintf(path, sizeof path, "../%s/address", sandbox);
	address = read_file(path);
	return address && answers(address) ? address : NULL;
}

// shim answers for the real shim where that has nothing to do: to start a container whose Pod has a shim, and to
// delete a container of which nothing is left.
static int shim(int argc, char **argv) {
	const char *id = flag_value(argc, argv, "-id"), *command = argc > 1 ? argv[argc - 1] : "", *address;
	if (strcmp(command, "start") == 0 && (address = pod_shim(id))) {
		int fd = open("address", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0)
			die("creating the file address");
		write_all(fd, address, strlen(address));
		write_all(STDOUT_FILENO, address, strlen(address));
		return 0;
	}
	if (strcmp(command, "delete") == 0 && *id &&
	    is_gone(flag_value(argc, argv, "-namespace"), id, flag_value(argc, argv, "-bundle"))) {
		say_killed();
		return 0;
	}
	execv(SHIM, argv);
	die("starting " SHIM);
	return 1;
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
	if (strcmp(name, "containerd-shim-runc-v2") == 0)
		return shim(argc, argv);
	return plugin(name);
}
