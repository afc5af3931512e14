//! The command line as its users meet it: the real binary on installations of its own.
//!
//! One folder, one binary; a module a subject. All of these need root.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

/// Tests of what works the same for root and for an ordinary user: functions that take the
/// installation, run in both modes.
macro_rules! in_both_modes {
    ($($name:ident,)*) => {
        mod root {
            $(#[test]
            fn $name() {
                super::$name(crate::busybox());
            })*
        }
        mod rootless {
            $(#[test]
            fn $name() {
                super::$name(crate::users_busybox());
            })*
        }
    };
}

mod addresses;
mod analyze;
mod attacks;
mod bake;
mod bake_remote;
mod boot;
mod build;
mod build_storm;
mod build_words;
mod buildcache;
mod buildkit_caches;
mod cache_mounts;
mod caches;
mod cdi;
mod changes;
mod changing_context;
mod confinement;
mod conformance;
mod contexts;
mod cp;
mod damage;
mod debug;
mod escapes;
mod events;
mod explain;
mod full_disk;
mod health;
mod hostile;
mod hostile_steps;
mod images;
mod interop;
mod kill;
mod layouts;
mod lent;
mod lifecycle;
mod limits;
mod links;
mod lint;
mod live;
mod logs;
mod mounts;
mod network;
mod on_failure;
mod outputs;
mod parity;
mod platforms;
mod programs;
mod progress;
mod prunes;
mod rootless;
mod run;
mod runtime;
mod sarif;
mod shortage;
mod squash;
mod step_devices;
mod step_limits;
mod storm;
mod userns;
mod verify;
mod volumes;

use gantry_testkit::{Caller, TestEnv};

/// The binary under test.
const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

/// An installation that has `busybox:latest`.
fn busybox() -> TestEnv {
    TestEnv::with_busybox(GANTRY)
}

/// The same of a user with subordinate IDs.
fn users_busybox() -> TestEnv {
    TestEnv::busybox_of(Caller::User, GANTRY)
}
