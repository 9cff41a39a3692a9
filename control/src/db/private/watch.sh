# Stops and removes a throw-away Postgres once all its users are gone, however they went.
# $1 data folder, $2 cluster, $3 seconds that it outlives its last user
exec 7>>"$1/postgres.watch" 8>>"$1/postgres.users" 9>>"$1/postgres.lock" || exit
flock -n 7 || exit 0 # somebody watches already

while :; do
    flock 8 && flock -u 8 # nobody uses it
    sleep "$3"
    flock 9 # nobody starts or stops it
    # Somebody else removed all of it, and what has these names now is another one's.
    [ "$1/postgres.users" -ef /dev/fd/8 ] && [ "$1/postgres.lock" -ef /dev/fd/9 ] || exit 0
    flock -n 8 && break
    flock -u 9
done

runs() {
    [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1" ]
}

pid=$(sed -n 1p "$2/postmaster.pid")
socket=$(sed -n 5p "$2/postmaster.pid")
for signal in INT QUIT KILL; do
    runs "$2" && kill -s "$signal" "$pid"
    tries=200
    while runs "$2" && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
done
[ -n "$socket" ] && rm -f "$socket"/.s.PGSQL.* && rmdir "$socket"
rm -rf "$2"
rm -f "$1"/postgres.id "$1"/postgres.id.new "$1"/postgres.log "$1"/postgres.log.1 "$1"/postgres.users "$1"/postgres.watch \
    "$1"/postgres.lock
rmdir "$1"
