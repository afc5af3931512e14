//! File systems that run full or fail at many moments of a build: the error says so and what to do,
//! nothing half-made stays, and with a sound disk the same build gives what it gives elsewhere.

use std::process::Command;

use gantry_testkit::{TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

/// What scripts have: `g`, whose store is in `$S`; `room`, which mounts a file system there with the
/// given option; `grow` and `away`; `outside`, which is `g` with a store that has all room.
const FUNCTIONS: &str = r#"
    S="$WORK/small"; mkdir "$S"
    g() { "$G" --root "$S" "$@"; }
    outside() { "$G" --root "$GANTRY_ROOT" "$@"; }
    room() { mount -t tmpfs -o "$1" small "$S" || exit 99; }
    grow() { mount -o remount,size=100m,nr_inodes=100000 "$S" || exit 99; }
    away() { umount "$S" || exit 99; }
    used() { stat -f -c "$1" "$S"; }
    wrong() { echo "WRONG: $*"; cat "$WORK/said"; }
    # A failure has exit code 1, and its message what to do.
    told() { [ "$1" = 1 ] && grep -q 'gantry builder prune' "$WORK/said" || wrong "$2: code $1"; }
    # Nothing half-made is in the store, and what is there is whole.
    sound() {
        [ -z "$(ls -A "$S/ingest" 2>/dev/null)" ] || wrong "$1 leaves $(ls "$S/ingest")"
        g builder du >"$WORK/said" 2>&1 || wrong "$1: du"
        grow
        # A layer whose row found no room belongs to nothing, and is taken by a repair.
        g system check >"$WORK/said" 2>&1 || g system check --repair >"$WORK/said" 2>&1
        g system check >"$WORK/said" 2>&1 || wrong "$1: check"
    }
"#;

/// Runs a script in a mount namespace of its own; what it wrote to standard output.
fn script(env: &TestEnv, variables: &[(&str, &str)], text: &str) -> String {
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", &format!("{FUNCTIONS}\n{text}")])
        .env("G", GANTRY)
        .env("GANTRY_ROOT", env.root())
        .env("GANTRY_RUN", env.run_root())
        .env("HOME", env.work())
        .env("WORK", env.work())
        .env("SOURCE_DATE_EPOCH", "1600000000")
        .envs(variables.iter().copied())
        .current_dir(env.work())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WRONG"), "{said}");
    said
}

/// A context whose build writes files by `COPY` and by a command, and more inodes than most.
fn prepare(env: &TestEnv) {
    let noise = |bytes: usize, seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    };
    env.write("ctx/data/a", noise(800_000, 1));
    env.write("ctx/b", noise(300_000, 2));
    for n in 0..40 {
        env.write(&format!("ctx/data/f{n}"), n.to_string());
    }
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY data /c\n\
         RUN cat /c/a > /r && for i in $(seq 30); do echo $i > /x$i || exit 1; done\n\
         COPY b /b\nRUN cp /b /s\n",
    );
    env.gantry(["save", "-o", "base.tar", "busybox"]).ok();
}

#[test]
fn root_a_store_that_runs_full_during_a_build_makes_no_other_image() {
    let env = busybox();
    prepare(&env);
    let said = script(
        &env,
        &[],
        r#"
        build() {
            g build -q -o "type=oci,tar=false,rewrite-timestamp=true,dest=$1" ctx >"$WORK/said" 2>&1
        }
        load() { g load -i base.tar >"$WORK/said" 2>&1; }
        # How much there is before and after, in blocks and inodes.
        room size=100m
        load || wrong "the first load"
        blocks=$(($(used %b) - $(used %f))) inodes=$(($(used %c) - $(used %d)))
        build "$WORK/want" || wrong "the first build"
        all_blocks=$(($(used %b) - $(used %f))) all_inodes=$(($(used %c) - $(used %d)))
        away
        try() {
            room "$1"
            if load; then
                build "$WORK/got"; code=$?
                [ $code = 0 ] && echo "fits $1" || { echo "full $1"; told $code "build in $1"; }
                sound "build in $1"
            else
                echo "full $1"
                told 1 "load in $1"; sound "load in $1"
                load || wrong "load in $1 with room"
            fi
            rm -rf "$WORK/got"
            build "$WORK/got" || wrong "build in $1 with room"
            cmp "$WORK/want/index.json" "$WORK/got/index.json" || wrong "$1: another image"
            away
        }
        for part in -2 1 2 4 5; do
            try size=$(((blocks + (all_blocks - blocks) * part / 6) * 4))k
        done
        for part in 2 4; do
            try nr_inodes=$((inodes + (all_inodes - inodes) * part / 6))
        done
        "#,
    );
    assert!(said.matches("full ").count() >= 5, "{said}");
}

#[test]
fn root_where_a_result_finds_no_room_the_store_is_none_the_worse() {
    let env = busybox();
    prepare(&env);
    script(
        &env,
        &[],
        r#"
        outside build -q -t made ctx >"$WORK/said" 2>&1 || wrong build
        for kind in oci docker tar local folder cache; do
            case $kind in
                local) output="type=local,dest=$S/out" ;;
                folder) output="type=oci,tar=false,dest=$S/out" ;;
                *) output="type=$kind,dest=$S/out" ;;
            esac
            leave() {
                if [ $kind = cache ]; then
                    outside build -q --cache-to "type=local,mode=max,dest=$S/out" ctx
                else
                    outside build -q -o "$output" ctx
                fi >"$WORK/said" 2>&1
            }
            room size=600k
            leave; code=$?
            told $code "$kind"
            grep -qi "no space left" "$WORK/said" || wrong "$kind"
            grep -q "$S/out" "$WORK/said" || wrong "$kind does not say where"
            grow
            leave || wrong "$kind with room"
            away
        done
        outside system check >"$WORK/said" 2>&1 || wrong check
        "#,
    );
}

#[test]
fn root_a_pull_or_push_that_finds_no_room_can_be_made_again() {
    let registry = TestRegistry::start();
    let env = busybox();
    prepare(&env);
    let name = format!("{}/made:1", registry.address());
    env.gantry(["build", "-q", "-t", &name, "ctx"]).ok();
    env.gantry(["push", "-q", &name]).ok();
    let again = format!("{}/made:2", registry.address());
    script(
        &env,
        &[("NAME", &name), ("AGAIN", &again)],
        r#"
        pull() { g pull -q "$NAME" >"$WORK/said" 2>&1; }
        id() { g image ls -q --no-trunc "$NAME"; }
        room size=100m; pull || wrong pull; want=$(id); all=$(($(used %b) - $(used %f))); away
        for part in 2 6; do
            room size=$((all * part / 2))k
            pull; told $? "pull of $part eighths"; sound "pull of $part eighths"
            pull || wrong "pull of $part eighths with room"
            [ "$(id)" = "$want" ] || wrong "pulled something else"
            away
        done
        # All that is left is what a push needs for its lease and the like, or not even that.
        for left in 0 32; do
            room size=100m
            pull || wrong pull
            g tag "$NAME" "$AGAIN"
            mount -o remount,size=$((($(used %b) - $(used %f)) * 4 + left))k "$S" || exit 99
            g push -q "$AGAIN" >"$WORK/said" 2>&1; code=$?
            [ $code = 0 ] || told $code "push with $left"
            sound "push with $left"
            g push -q "$AGAIN" >"$WORK/said" 2>&1 || wrong "push with room"
            away
        done
        "#,
    );
    let other = TestEnv::new(GANTRY);
    other.gantry(["pull", "-q", &again]).ok();
    let compare = "cmp /c/a /r && cmp /b /s && echo same";
    let same = other.gantry(["run", "--rm", &again, "sh", "-c", compare]);
    assert_eq!(same.ok(), "same");
}

#[test]
fn root_a_store_or_run_root_that_takes_nothing_is_told_of() {
    let env = busybox();
    prepare(&env);
    script(
        &env,
        &[],
        r#"
        build() { "$G" build -q --no-cache -t made ctx >"$WORK/said" 2>&1; }
        build || wrong "the first build"
        mount --bind "$GANTRY_ROOT" "$GANTRY_ROOT" && mount -o remount,bind,ro "$GANTRY_ROOT" || exit 99
        build && wrong "a build in a store that is read-only"
        grep -q "read-only" "$WORK/said" && grep -q -- "--root" "$WORK/said" || wrong "read-only"
        umount "$GANTRY_ROOT"
        mount -t tmpfs -o size=16k none "$GANTRY_RUN" || exit 99
        head -c 64k /dev/zero >"$GANTRY_RUN/filler" 2>/dev/null
        build; told $? "a full run root"
        umount "$GANTRY_RUN"
        build || wrong "build with room"
        outside system check >"$WORK/said" 2>&1 || wrong check
        "#,
    );
}

#[test]
fn root_a_quota_that_is_used_up_is_told_of() {
    let env = busybox();
    prepare(&env);
    script(
        &env,
        &[],
        r#"
        truncate -s 300m disk && mkfs.btrfs -q disk >/dev/null && mount -o loop disk "$S" || exit 99
        top="$S" S="$S/store"
        btrfs -q quota enable "$top" && btrfs -q subvolume create "$S" || exit 99
        limit() { btrfs -q qgroup limit "$1" "$S" && btrfs filesystem sync "$S" || exit 99; }
        build() { g build -q -t "$1" ctx >"$WORK/said" 2>&1; }
        g load -i base.tar >"$WORK/said" 2>&1 || wrong load
        btrfs filesystem sync "$S"
        used=$(btrfs qgroup show --raw "$S" | tail -n 1 | { read -r _ used _; echo "$used"; })
        for more in 300000 1000000; do
            limit $((used + more))
            build made; code=$?
            [ $code = 1 ] && grep -qi "quota" "$WORK/said" || wrong "code $code with $more"
            [ -z "$(ls -A "$S/ingest")" ] || wrong "$(ls "$S/ingest")"
            limit none
            g system check >"$WORK/said" 2>&1 || g system check --repair >"$WORK/said" 2>&1
            g system check >"$WORK/said" 2>&1 || wrong check
        done
        build made || wrong "the build without a quota"
        umount "$top"
        "#,
    );
}

#[test]
fn root_a_disk_that_gives_errors_is_told_of_and_what_is_sound_stays() {
    let env = busybox();
    prepare(&env);
    env.write(
        "ctx/again",
        "FROM busybox\nCOPY data /c\nRUN cat /c/a >/r\nCOPY b /b\n",
    );
    script(
        &env,
        &[],
        r#"
        truncate -s 300m disk && mkfs.btrfs -q disk >/dev/null || exit 99
        on() { mount -o loop disk "$S" || exit 99; }
        off() { umount "$S" || exit 99; }
        build() { g build -q -o "type=oci,tar=false,rewrite-timestamp=true,dest=$1" -f "$2" ctx >"$WORK/said" 2>&1; }
        on; g load -i base.tar >"$WORK/said" 2>&1 || wrong load
        build want ctx/again || wrong "the first build"
        g builder prune -af >"$WORK/said" 2>&1 || wrong prune
        printf 'FROM busybox\nCOPY data /c\n' >ctx/copy; build part ctx/copy || wrong "the copy"
        off
        # Wherever the file is on the disk, its middle becomes something else.
        python3 -c "
import mmap
with open('ctx/data/a', 'rb') as file: text = file.read()[3000:3064]
with open('disk', 'r+b') as file:
    disk = mmap.mmap(file.fileno(), 0)
    at = disk.find(text)
    assert at > 0
    while at > 0:
        disk[at:at + 14] = b'something else'
        at = disk.find(text, at)
" || exit 98
        on
        build got ctx/again; code=$?
        [ $code = 1 ] && grep -q 'I/O error\|Input/output error' "$WORK/said" || wrong "code $code"
        [ -z "$(ls -A "$S/ingest")" ] || wrong "$(ls "$S/ingest")"
        g system check >"$WORK/said" 2>&1 && wrong "a check finds nothing"
        grep -qi 'input/output error' "$WORK/said" || wrong "what is damaged"
        g system check --repair >"$WORK/said" 2>&1
        g system check >"$WORK/said" 2>&1 || wrong "check after the repair"
        build got ctx/again || wrong "the build after the repair"
        cmp want/index.json got/index.json || wrong "another image"
        off
        "#,
    );
}

#[test]
fn root_a_disk_that_takes_nothing_any_more_lets_no_build_succeed() {
    let env = busybox();
    prepare(&env);
    script(
        &env,
        &[],
        r#"
        # A disk that says it is larger than it is: what it cannot keep becomes errors later.
        mkdir thin; mount -t tmpfs -o size=60m thin thin || exit 99
        truncate -s 200m thin/disk && mkfs.ext4 -q -E lazy_itable_init=0 -m 0 thin/disk || exit 99
        on() { mount -o loop thin/disk "$S" || exit 99; }
        off() { umount "$S" || exit 99; }
        build() { g build -q -o "type=oci,tar=false,rewrite-timestamp=true,dest=$1" ctx >"$WORK/said" 2>&1; }
        on; g load -i base.tar >"$WORK/said" 2>&1 || wrong load; off
        room=$(($(stat -f -c %a thin) * 4))
        head -c $((room - 600))k /dev/zero >thin/filler || exit 99
        on; g build -q -t made ctx >"$WORK/said" 2>&1; code=$?
        [ $code = 1 ] || wrong "code $code on a disk that takes nothing"
        grep -qi 'input/output error\|disk i/o error\|read-only' "$WORK/said" || wrong "why"
        off
        rm thin/filler
        e2fsck -fyp thin/disk >"$WORK/said" 2>&1 || e2fsck -fy thin/disk >"$WORK/said" 2>&1
        on
        g system check --repair >"$WORK/said" 2>&1
        g system check >"$WORK/said" 2>&1 || wrong check
        g load -i base.tar >"$WORK/said" 2>&1 || wrong "load again"
        build got || wrong "the build on a sound disk"
        outside build -q -o "type=oci,tar=false,rewrite-timestamp=true,dest=want" ctx >"$WORK/said" 2>&1
        cmp want/index.json got/index.json || wrong "another image"
        off
        "#,
    );
}
