//! The SQLite database: how it is opened, and its schema through the versions.
//!
//! Write-ahead log, so that readers never wait; `synchronous = NORMAL`, so that a commit is
//! atomic after a power cut; no checkpoint on close, so that a short command does not pay for
//! its predecessors. The schema's version is SQLite's `user_version`; it only goes forward.

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
            connection.execute_batch("PRAGMA synchronous = NORMAL")?;
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
            migrate(&mut connection).map_err(failed("bring its schema forward"))?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
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
