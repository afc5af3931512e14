# Checks of a machine. All that it says to the outside are lines of "vm: …".
failures=0
check() { # NAME EXPECTED COMMAND...
    name=$1 expected=$2
    shift 2
    got=$("$@" 2>&1)
    if [ "$got" = "$expected" ]; then
        echo "vm: ok: $name"
    else
        echo "vm: NOT ok: $name: wanted [$expected], got [$got]"
        failures=$((failures + 1))
    fi
}
code() { "$@" > /dev/null 2>&1; echo $?; }
conclude() { if [ "$failures" -eq 0 ]; then echo "vm: all passed"; else echo "vm: failed"; fi; }

