# Becomes a systemd of its own, in namespaces where /etc, /var/lib and /run are its own too.
# Arguments: a directory for all of it, and the program. Status 77: that can't be done here.
set -eu
home=$1 program=$2

if [ -z "${3:-}" ]; then
  groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  own=$groups/tubewarden-test-$$
  { [ "$(id -u)" = 0 ] && [ -n "$groups" ] && mkdir "$own" && echo $$ >"$own/cgroup.procs"; } 2>/dev/null || exit 77
  echo "$own" >"$home/cgroup"
  unshare --mount true 2>/dev/null || exit 77
  # It complains of signals that it can't set when it ends; all else is told by the status.
  exec 2>/dev/null unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --mount-proc \
    bash "$home/boot.sh" "$home" "$program" inside
fi

mount --make-rprivate /
# First of all, for what comes next may hide where it lies.
mount -t tmpfs tmpfs /usr/local/bin
touch /usr/local/bin/tubewarden
mount --bind "$program" /usr/local/bin/tubewarden
umount --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
cp -a /etc "$home/etc"
rm -rf "$home/etc/tubewarden"
mv "$home/tubewarden" "$home/etc/tubewarden"
mount --bind "$home/etc" /etc
mount --bind "$home/lib" /var/lib
# What systemd mounts for a service must be seen by it.
mount --make-rshared /
# No unit but ours, and nothing that a container may not do.
export container=lxc SYSTEMD_UNIT_PATH="$home/units"
exec /lib/systemd/systemd --system --unit=boot.target --log-target=null
