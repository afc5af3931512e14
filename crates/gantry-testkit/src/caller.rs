//! Who runs the commands of an installation: root, or an ordinary user.
//!
//! The user exists only for the commands of one installation: each is started in a mount namespace
//! that shows them other files of users, the binary at a place they may enter, and TUN and FUSE
//! devices with the permissions they have on machines with udev.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user's and its group's number.
const USER: u32 = 54_321;
/// Its subordinate IDs.
const SUBORDINATE: &str = "54321:1200000000:65536\n";

/// Who runs the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root.
    Root,
    /// A user with subordinate IDs.
    User,
    /// A user without them.
    SingleId,
}

/// What the shell that becomes the user does before.
const SCRIPT: &str = "mount --bind \"$0/passwd\" /etc/passwd && \
    mount --bind \"$0/subordinate\" /etc/subuid && \
    mount --bind \"$0/subordinate\" /etc/subgid && \
    mount --bind \"$0/tun\" /dev/net/tun && mount --bind \"$0/fuse\" /dev/fuse && \
    mount --bind \"$1\" \"$0/gantry\" && shift && \
    exec setpriv --reuid 54321 --regid 54321 --clear-groups --inh-caps=-all \"$0/gantry\" \"$@\"";

impl Caller {
    /// Prepares the folder of an installation.
    pub(crate) fn prepare(self, folder: &Path) {
        if self == Caller::Root {
            return;
        }
        let place = place(folder);
        fs::create_dir(&place).expect("a folder can be made");
        let users = fs::read_to_string("/etc/passwd").expect("the machine has users");
        let user = format!("user54321:x:{USER}:{USER}::/nowhere:/bin/sh\n");
        let own = if self == Caller::User {
            SUBORDINATE
        } else {
            ""
        };
        for (name, text) in [
            ("passwd", users + &user),
            ("subordinate", own.to_owned()),
            ("gantry", String::new()),
        ] {
            fs::write(place.join(name), text).expect("a file can be written");
        }
        for (name, minor) in [("tun", "200"), ("fuse", "229")] {
            let made = Command::new("mknod")
                .args(["-m", "666"])
                .arg(place.join(name))
                .args(["c", "10", minor])
                .status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "a device can be made"
            );
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        for path in [
            folder.to_path_buf(),
            folder.join("home"),
            folder.join("work"),
        ] {
            self.give(&path);
        }
    }

    /// Gives the user a file of the test's.
    pub(crate) fn give(self, path: &Path) {
        if self != Caller::Root {
            chown(path, Some(USER), Some(USER)).expect("an owner can be set");
        }
    }

    /// The words that start `binary` as the caller; its arguments follow.
    pub(crate) fn words(self, folder: &Path, binary: &Path) -> Vec<OsString> {
        if self == Caller::Root {
            return vec![binary.into()];
        }
        let mut words: Vec<OsString> = ["unshare", "--mount", "sh", "-c", SCRIPT]
            .map(OsString::from)
            .into();
        words.push(place(folder).into());
        words.push(binary.into());
        words
    }
}

fn place(folder: &Path) -> PathBuf {
    folder.join("user")
}
