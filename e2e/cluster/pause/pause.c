// Program pause holds a Pod's namespaces open: it waits for a signal and reaps the children that a shared process
// namespace hands it. It is C and static, alone, so that its image is small and every Pod starts soon.
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
	sigset_t signals;
	int received;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (sigwait(&signals, &received) == 0 && received == SIGCHLD)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	return 0;
}
