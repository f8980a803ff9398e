#!/bin/sh
# Appends the job that comes on standard input to a table: time, instance, type, id, how
# it ended, seconds it waited, seconds it ran.
set -eu
event=$(cat)
seconds() {
    printf '%s' "$event" | sed -n "s/.*\"$1\":\([0-9.]*\)[,}].*/\1/p"
}
printf '%s,%s,%s,%s,%s,%s,%s\n' "$TUBEWARDEN_EVENT_TIME" "$TUBEWARDEN_INSTANCE" "$TUBEWARDEN_JOB_TYPE" \
    "$TUBEWARDEN_JOB_ID" "$TUBEWARDEN_EVENT_TYPE" "$(seconds wait_seconds)" "$(seconds run_seconds)" >>"$1"
