#!/bin/sh
# crun as containerd calls it, which knows by runc's words only that a container is gone. Where a deletion took longer than
# containerd waits, it asks again, and without these words for ever.
case " $* " in
*" kill "* | *" delete "*) ;;
*) exec {{.Runtime}} "$@" ;;
esac
said=$({{.Runtime}} "$@" 2>&1)
status=$?
[ -z "$said" ] || echo "$said" >&2
case $said in
*"No such file or directory"*) echo "container does not exist" >&2 ;;
esac
exit "$status"
