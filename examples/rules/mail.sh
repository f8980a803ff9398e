#!/bin/sh
# Mails the events that come on standard input: mail.sh ADDRESS PROGRAM [ARGUMENT…].
# The program gets the message on standard input, and the address as its last argument.
set -eu
to=$1
shift
{
    printf 'To: %s\n' "$to"
    printf 'Subject: [%s] %s (%s)\n' "$TUBEWARDEN_INSTANCE" "$TUBEWARDEN_EVENT_TYPE" "$TUBEWARDEN_EVENTS"
    printf 'Content-Type: text/plain; charset=utf-8\n\n'
    cat
} | "$@" -- "$to"
