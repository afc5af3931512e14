//! Processes: making them with new namespaces, joining those of others, becoming another program.

mod control;
mod fork;
mod image;
mod namespace;
mod pidfd;
mod program;
mod spawn;

pub use control::{
    become_reaper, die_with_parent, is_dumpable, is_single_threaded, set_domain_name, set_dumpable,
    set_personality,
};
pub use fork::{Fork, close_everything_but, exit_now};
pub use image::Image;
pub use namespace::{
    IdMapping, Namespace, NamespaceSet, join, join_process, user_namespace, write_id_maps,
};
pub use pidfd::{Exit, Process, signal_pidfd, wait_pidfd};
pub use program::Program;
pub use spawn::Spawn;
