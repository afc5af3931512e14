//! Devices of a build, out of the engine.

use gantry_build::{DeviceError, Devices};
use gantry_engine::StepDevices;
use oci_spec::runtime::Spec;

/// The engine's devices as a build wants them.
#[derive(Debug)]
pub(super) struct EngineDevices(pub(super) StepDevices);

impl Devices for EngineDevices {
    fn find(&self, name: &str) -> Result<Vec<String>, DeviceError> {
        self.0.find(name).map_err(|error| DeviceError::new(&error))
    }

    fn is_free(&self, device: &str) -> Result<bool, DeviceError> {
        let free = self.0.is_free(device);
        free.map_err(|error| DeviceError::new(&error))
    }

    fn add(&self, devices: &[String], document: &mut Spec) -> Result<(), DeviceError> {
        let added = self.0.add(devices, document);
        added.map_err(|error| DeviceError::new(&error))
    }
}
