#!/usr/bin/env bash
# Holds the load, counts what is lost, and prints the figures as Markdown: with date, machine and command.
#
#   tests/load.sh          the long form, which is what docs/SECURITY.md quotes: about half an hour on two cores
#   tests/load.sh short    the form that `cargo test` runs, with a release build
#
# Needs what `.ci/run` installs, and root to start mail servers. Each amount can be set by its variable:
#
#   LOAD_SUBMISSIONS       mails through the proxy to Postfix, over ways that hold
#   LOAD_CUT_SUBMISSIONS   mails over ways that are cut at random, while Postfix is killed, stopped and out of reach
#   LOAD_KILLS             how often that happens
#   LOAD_CLIENTS           how many clients send at once
#   LOAD_SESSIONS          IMAP sessions at once at Dovecot, up to 1000; each reads a known mail and rests in IDLE
#   LOAD_CYCLES            how often all of them come and go
#   LOAD_IDLE, LOAD_LOGINS, LOAD_SECONDS
#                          idle IMAP sessions at a pretend provider, logins a second beside them, and for how long
#   LOAD_SEED              where chance begins: the same mails, cuts and troubles again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-long}" in
long)
    : "${LOAD_SUBMISSIONS:=50000}" "${LOAD_CUT_SUBMISSIONS:=50000}" "${LOAD_KILLS:=100}" "${LOAD_CLIENTS:=32}"
    : "${LOAD_SESSIONS:=500}" "${LOAD_CYCLES:=10}"
    # Each idle session takes two of the proxy's descriptors.
    most=$((($(ulimit -Hn) - 1000) / 2))
    : "${LOAD_IDLE:=$((most < 9500 ? most : 9500))}" "${LOAD_LOGINS:=100}" "${LOAD_SECONDS:=600}"
    ;;
short)
    : "${LOAD_SUBMISSIONS:=1000}" "${LOAD_CUT_SUBMISSIONS:=300}" "${LOAD_KILLS:=4}" "${LOAD_CLIENTS:=16}"
    : "${LOAD_SESSIONS:=50}" "${LOAD_CYCLES:=3}"
    : "${LOAD_IDLE:=500}" "${LOAD_LOGINS:=50}" "${LOAD_SECONDS:=10}"
    ;;
*)
    echo "usage: $0 [long|short]" >&2
    exit 2
    ;;
esac
export LOAD_SUBMISSIONS LOAD_CUT_SUBMISSIONS LOAD_KILLS LOAD_CLIENTS LOAD_SESSIONS LOAD_CYCLES
[ -z "${LOAD_SEED-}" ] || export LOAD_SEED
# A figure of a test that was skipped would be missed by nobody.
export CI=true

LOAD_REPORT=$(mktemp)
export LOAD_REPORT
trap 'rm -f "$LOAD_REPORT"' EXIT

cargo test --locked --release --test load --no-run
status=0
# One after the other, so that each has the machine for itself.
cargo test --locked --release --quiet --test load -- --test-threads=1 >&2 || status=$?
if [ -d benches/load ]; then
    # Told in the words of the benchmark.
    held=$(cargo bench --locked --bench load -- \
        idle --sessions "$LOAD_IDLE" --logins "$LOAD_LOGINS" --seconds "$LOAD_SECONDS") || status=$?
    printf '\nIdle sessions and logins at a pretend provider:\n\n```\n%s\n```\n' "$held" >>"$LOAD_REPORT"
fi

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
memory=$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
cat <<END

| load | |
| --- | --- |
| date | $(date -u +%Y-%m-%d) |
| command | \`$0 ${1-long}\` |
| machine | $(nproc) cores (${cpu:-$(uname -m)}), $memory, Linux $(uname -r | cut -d - -f 1) |
| version | $(git describe --always --dirty 2>/dev/null || echo unknown) |
END
cat "$LOAD_REPORT"
exit "$status"
