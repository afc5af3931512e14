//! A registry whose answers can be held back in their middle.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::environment::PATIENCE;
use crate::registry::TestRegistry;
use crate::web::Listening;

/// How much is passed on at once: a gate opens and closes between such pieces.
const PIECE: usize = 4 << 10;

/// A registry behind a door: what it answers goes through as long as the door is open.
#[derive(Debug)]
pub struct HeldRegistry {
    registry: TestRegistry,
    listening: Listening,
    door: Arc<Door>,
}

#[derive(Debug, Default)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that may still go through; as many as there are without.
    left: Option<usize>,
    /// Connections that wait.
    waiting: usize,
}

impl HeldRegistry {
    /// Starts an empty one, whose door is open.
    ///
    /// # Panics
    /// When loopback has no free port, or the registry cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let registry = TestRegistry::start();
        let door = Arc::new(Door::default());
        let (behind, inside) = (registry.address().to_owned(), Arc::clone(&door));
        let listening = Listening::start(move |client| {
            // A client that went away, or a registry that ended, is no reason to fail.
            drop(serve(&client, &behind, &inside));
        });
        Self {
            registry,
            listening,
            door,
        }
    }

    /// `127.0.0.1:PORT`, through the door.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.listening.port())
    }

    /// `127.0.0.1:PORT` of the registry itself, which nothing holds back.
    #[must_use]
    pub fn behind(&self) -> &str {
        self.registry.address()
    }

    /// Lets so many bytes of answers through from now on, and then nothing.
    pub fn hold_after(&self, bytes: usize) {
        self.door.set(Some(bytes));
    }

    /// Waits until an answer is held back.
    ///
    /// # Panics
    /// When none is for a long time.
    pub fn wait_held(&self) {
        let state = self.door.lock();
        let waited = self
            .door
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.waiting == 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.waiting > 0, "no answer is held back");
    }

    /// Lets everything through again.
    pub fn release(&self) {
        self.door.set(None);
    }
}

impl Drop for HeldRegistry {
    fn drop(&mut self) {
        // Threads that wait end with their connections.
        self.release();
    }
}

impl Door {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, left: Option<usize>) {
        self.lock().left = left;
        self.changed.notify_all();
    }

    /// Waits until so many bytes may go through.
    fn pass(&self, bytes: usize) {
        let mut state = self.lock();
        while state.left.is_some_and(|left| left < bytes) {
            state.waiting += 1;
            self.changed.notify_all();
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.left = state.left.map(|left| left - bytes);
    }
}

fn serve(client: &TcpStream, behind: &str, door: &Door) -> io::Result<()> {
    let server = TcpStream::connect(behind)?;
    let (mut asks, mut asked) = (client.try_clone()?, server.try_clone()?);
    let questions = std::thread::spawn(move || {
        drop(io::copy(&mut asks, &mut asked));
        drop(asked.shutdown(Shutdown::Write));
    });
    let mut piece = [0; PIECE];
    let (mut from, mut to) = (&server, client);
    let passed = loop {
        match from.read(&mut piece) {
            Ok(0) => break Ok(()),
            Err(error) => break Err(error),
            Ok(count) => {
                door.pass(count);
                if let Err(error) = to.write_all(&piece[..count]) {
                    break Err(error);
                }
            }
        }
    };
    // Whichever side went away, the other hears of it.
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
    drop(questions.join());
    passed
}
