//! Processes: making them with new namespaces, joining those of others, becoming another program.

mod control;
mod fork;
mod image;
mod namespace;
mod pidfd;
mod program;
mod spawn;
mod tied;

pub use control::{
    become_reaper, die_with_parent, is_dumpable, is_single_threaded, new_session_keyring,
    set_domain_name, set_dumpable, set_personality,
};
pub(crate) use fork::clone3;
pub use fork::{Fork, close_everything_but, close_everything_from, exit_now};
pub use image::Image;
pub use namespace::{
    IdMapping, Namespace, NamespaceSet, id_maps, is_in_initial_user_namespace, join, join_process,
    may_set_groups, user_namespace, user_namespace_mapped_by, write_id_maps,
};
pub use pidfd::{Exit, Process, signal_pidfd, wait_pidfd};
pub use program::Program;
pub use spawn::Spawn;
pub use tied::spawn_tied;
