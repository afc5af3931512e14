//! The SQLite database: how it is opened, and its schema through the versions.
//!
//! Write-ahead log, so that readers never wait; `synchronous = NORMAL`, so that a commit is
//! atomic after a power cut; no checkpoint on close, so that a short command does not pay for
//! its predecessors. Nor does it by reading a long log: whoever opens the database while nobody
//! else has it open reads all of it. The schema's version is SQLite's `user_version`; it only goes
//! forward.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::StoreError;

/// One entry takes the schema from the version of its index to the next.
const MIGRATIONS: &[&str] = &[
    include_str!("database/1.sql"),
    include_str!("database/2.sql"),
    include_str!("database/3.sql"),
];

const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages in the log at which a commit puts them into the database, a sync of the disk for some
/// sixty builds. To read the log takes a command about two milliseconds for a thousand of them.
const LOG_PAGES: u32 = 256;

/// The database of one store, connected at its first use.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful of migrations")
}

pub(crate) fn failed(action: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { action, source }
}

impl Database {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            path: root.join("gantry.db"),
            connection: Mutex::new(None),
        }
    }

    /// Runs `work` on the connection, which is opened if need be.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut slot = self.lock();
        if slot.is_none() {
            *slot = Some(self.connect()?);
        }
        work(slot.as_mut().expect("connected above"))
    }

    /// Reads: one statement or several that need not agree with each other.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.with(|connection| work(connection).map_err(failed(action)))
    }

    /// Writes in one transaction that takes the write lock at its start.
    pub(crate) fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|connection| {
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(failed(action))?;
            let result = work(&transaction)?;
            transaction.commit().map_err(failed(action))?;
            Ok(result)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // A panic while the lock was held rolled its transaction back: the connection is sound.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            connection.execute_batch(&format!(
                "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {LOG_PAGES}"
            ))?;
            Ok((connection, version))
        };
        let (mut connection, version) = open().map_err(failed("open it"))?;
        if version > known_version() {
            return Err(StoreError::SchemaTooNew {
                path: self.path.clone(),
                found: version,
                known: known_version(),
            });
        }
        if version < known_version() {
            self.migrate(&mut connection)?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// One process after the other: SQLite does not wait for another that turns the log on. What is
    /// locked is the folder: closing the file a second time would let go of SQLite's own locks.
    fn migrate(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let locked = || -> std::io::Result<File> {
            let folder = File::open(folder)?;
            folder.lock()?;
            Ok(folder)
        };
        let _lock = locked().map_err(|error| StoreError::io("lock", folder, error))?;
        migrate(connection).map_err(failed("bring its schema forward"))
    }
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // Persistent in the file; outside of a transaction, as SQLite demands.
    let _mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have migrated while this one waited for the lock.
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known_version())?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(folder.path());
        for number in 0..2 * LOG_PAGES {
            let write = |transaction: &Transaction<'_>| {
                let sql = "INSERT INTO records (kind, key, value, created, last_used, uses) \
                           VALUES ('kind', ?1, x'', 0, 0, 0)";
                let key = number.to_be_bytes();
                transaction
                    .execute(sql, [key.as_slice()])
                    .map_err(failed("write"))?;
                Ok(())
            };
            database.write("write", write).unwrap();
        }
        let log = std::fs::metadata(folder.path().join("gantry.db-wal")).unwrap();
        // Beside each page of 4,096 bytes a head of 24; the last commit may go beyond the bound.
        assert!(
            log.len() < u64::from(LOG_PAGES + 64) * 4120,
            "{}",
            log.len()
        );
    }
}
