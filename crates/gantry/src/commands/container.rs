//! Containers.

pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod exec;
pub(crate) mod foreground;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod making;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod ports;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod row;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod wait;
