//! Layers on their way to the disk while later steps run.
//!
//! An image gets its name when its layers are on the disk. What a build wrote first is brought there
//! while it goes on, so that little is left to wait for in the end.

use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use gantry_model::Digest;
use gantry_store::{LayerInfo, Store};

/// Layers with less content are not worth a walk to the disk of their own.
const WORTH: u64 = 4 << 20;

/// A thread that syncs layers, started with the first one.
#[derive(Debug)]
pub(crate) struct Syncing {
    store: Store,
    thread: Mutex<Option<(Sender<Digest>, JoinHandle<()>)>>,
}

impl Syncing {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            thread: Mutex::new(None),
        }
    }

    /// Begins to bring a layer to the disk, if it is large.
    pub(crate) fn begin(&self, layer: &LayerInfo) {
        if layer.content_size < WORTH {
            return;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            *thread = self.start().ok();
        }
        if let Some((send, _)) = &*thread {
            // A thread that is gone leaves it to the end of the build.
            let _sent = send.send(layer.diff_id);
        }
    }

    fn start(&self) -> std::io::Result<(Sender<Digest>, JoinHandle<()>)> {
        let (send, receive) = mpsc::channel::<Digest>();
        let store = self.store.clone();
        let thread = std::thread::Builder::new()
            .name("sync".into())
            .spawn(move || {
                while let Ok(first) = receive.recv() {
                    let layers: Vec<Digest> =
                        std::iter::once(first).chain(receive.try_iter()).collect();
                    // What fails here is tried again, and told, when the image gets its name.
                    let _synced = store.layers().sync(&layers);
                }
            })?;
        Ok((send, thread))
    }

    /// Waits for what is under way. A build that failed does not: its thread ends by itself.
    pub(crate) fn finish(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((send, thread)) = thread {
            drop(send);
            let _ended = thread.join();
        }
    }
}
