//! Looking at the system, as far as a plan depends on it.

use gantry_sys::capability;
use gantry_sys::cgroup::Layout;
use gantry_sys::lsm::Modules;
use gantry_sys::process;
use gantry_sys::system;

use crate::plan::Observed;

/// Looks at the system.
pub(crate) fn observe() -> Observed {
    let user_namespace = !process::is_in_initial_user_namespace();
    let mut cgroups = Layout::detect().ok();
    if let (true, Some(layout)) = (user_namespace, &mut cgroups) {
        // Only version 2 can be delegated.
        layout.v1.clear();
    }
    Observed {
        labels: Modules::active(),
        kernel: system::kernel_version(),
        last_capability: capability::last_supported(),
        cgroups,
        user_namespace,
        units: None,
    }
}
