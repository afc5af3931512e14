//! `rpmdb.sqlite`: a table `Packages` of numbers and headers.

use std::fs::File;
use std::os::fd::AsRawFd;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{Heap, Unread};

/// Reads the file as it lies there: nothing is written beside it, and nothing of its schema runs.
pub(super) fn read(file: &File, heap: &mut Heap) -> Result<(), Unread> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // By its descriptor, so that it is the file that was found in the layer and no link.
    let path = format!("file:/proc/self/fd/{}?immutable=1", file.as_raw_fd());
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let mut statement = connection.prepare("SELECT blob FROM Packages")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match row.get_ref(0)? {
            ValueRef::Blob(blob) => heap.add(blob)?,
            _ => {
                return Err(Unread::Damaged(
                    "its table Packages holds other things than headers",
                ));
            }
        }
    }
    Ok(())
}
