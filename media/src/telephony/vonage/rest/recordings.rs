//! Recordings that Vonage keeps: heard and deleted by the application that they were made for.
//!
//! A webhook names an address. Only what the address of a recording is made of is taken from it: a region of the vendor's, and the file's
//! id. A token goes nowhere else.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, header::RANGE};
use tokio::time::timeout;
use url::Url;

use super::{
    RestError, VonageRest,
    error::refused,
    send::{read, retry_after, transport},
};
use crate::telephony::vonage::event::is_uuid;

/// How long Vonage may take until its answer begins.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    /// The address that its webhook named, without a path.
    pub origin: String,
    /// The file's id, which is not the recording's.
    pub file: String,
}

impl RecordingFile {
    /// Of the address that a webhook names: `…/v1/files/<id>`, and nothing else. `None`: it is none.
    pub fn of_url(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let file = url.path().strip_prefix("/v1/files/")?;
        let origin = url.origin().ascii_serialization();
        (plain && is_uuid(file)).then(|| Self { origin, file: file.to_owned() })
    }
}

impl VonageRest {
    /// A recording, or the range of it that is asked for, if Vonage gives ranges: the answer's status says.
    ///
    /// # Errors
    /// [`RestError`]; [`RestError::is_over`] if it is gone.
    pub async fn open_recording(&self, recording: &RecordingFile, range: Option<&str>) -> Result<Response, RestError> {
        self.ask_for(Method::GET, recording, range).await
    }

    /// Deletes one, which may be gone already. No page of the vendor's says that its voice service does this; what it answers is believed.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn delete_recording(&self, recording: &RecordingFile) -> Result<(), RestError> {
        match self.ask_for(Method::DELETE, recording, None).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_over() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask_for(
        &self,
        method: Method,
        recording: &RecordingFile,
        range: Option<&str>,
    ) -> Result<Response, RestError> {
        if !is_uuid(&recording.file) {
            return Err(RestError::BadUuid);
        }
        let there = self.clone().in_region(Some(&recording.origin));
        let url = there.resource(&["v1", "files", &recording.file])?;
        let mut request = there.http.direct().request(method, url).bearer_auth(there.token().await?.expose());
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let request = request.build().map_err(|_| RestError::BaseUrl)?;
        let answer = timeout(LIMIT, there.http.execute(there.base.trust(), request)).await;
        let mut answer = answer.map_err(|_| RestError::Timeout)?.map_err(|error| transport(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            // Whatever stands in it.
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(refused(404, b"{}", None)),
            status => {
                let wait = retry_after(answer.headers());
                let body = timeout(LIMIT, read(&mut answer)).await.ok().and_then(Result::ok).unwrap_or_default();
                Err(refused(status.as_u16(), &body, wait))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_file_and_nothing_else() {
        let id = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
        let file = RecordingFile::of_url(&format!("https://api-us-3.vonage.com/v1/files/{id}")).unwrap();
        assert_eq!((file.origin.as_str(), file.file.as_str()), ("https://api-us-3.vonage.com", id));
        for wrong in [
            "",
            "nonsense",
            "ftp://api.nexmo.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
            "https://api.nexmo.com/v1/files/1",
            "https://api.nexmo.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab/x",
            "https://api.nexmo.com/v1/calls/aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
            "https://api.nexmo.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab?x=1",
            "https://u:p@api.nexmo.com/v1/files/aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        ] {
            assert_eq!(RecordingFile::of_url(wrong), None, "{wrong}");
        }
    }
}
