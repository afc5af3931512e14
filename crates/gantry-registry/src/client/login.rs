//! Asking a registry whether it accepts credentials.

use ureq::SendBody;
use ureq::http::Method;

use super::transport::{Call, checked};
use super::{Client, Endpoint};
use crate::credentials::Credentials;
use crate::error::RegistryError;

impl Client {
    /// Asks the registry itself whether it accepts these credentials. One that wants none
    /// accepts any.
    ///
    /// # Errors
    /// [`RegistryError::Unauthorized`] when it does not; others when it cannot be asked.
    pub fn login(&self, registry: &str, credentials: &Credentials) -> Result<(), RegistryError> {
        let what = format!("{registry} as this user");
        self.on_any(&what, self.upstream(registry), |endpoint| {
            self.login_at(endpoint, credentials, &what)
        })
    }

    fn login_at(
        &self,
        endpoint: &Endpoint,
        credentials: &Credentials,
        what: &str,
    ) -> Result<(), RegistryError> {
        let call = Call {
            method: Method::GET,
            address: format!("{}/v2/", endpoint.base),
            headers: Vec::new(),
            what,
            scope: "",
        };
        let transport = &self.transport;
        let first = transport.send(endpoint, &call, None, SendBody::none())?;
        if first.status() != 401 {
            return checked(endpoint, &call, first).map(drop);
        }
        match transport.answer_as(endpoint, &call, first.headers(), Some(credentials))? {
            Some(authorization) => {
                let again =
                    transport.send(endpoint, &call, Some(&authorization), SendBody::none())?;
                checked(endpoint, &call, again).map(drop)
            }
            None => checked(endpoint, &call, first).map(drop),
        }
    }
}
