//! Looking at the system, as far as a plan depends on it.

use gantry_sys::capability;
use gantry_sys::cgroup::Layout;
use gantry_sys::system;

use crate::plan::Observed;

/// Looks at the system.
pub(crate) fn observe() -> Observed {
    Observed {
        kernel: system::kernel_version(),
        last_capability: capability::last_supported(),
        cgroups: Layout::detect().ok(),
    }
}
