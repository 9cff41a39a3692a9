//! Voices as the API shows them, and what may be asked of them.

use serde::{Deserialize, Serialize};
use trunkline_base::Personal;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    agents::config::voice,
    check::Checker,
    error::ApiError,
    http::Pagination,
    vendors::{Provider, Speech, Voice},
};

/// The longest text of a preview, in characters.
const LONGEST_TEXT: usize = 500;

/// Whose voices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VoicesQuery {
    /// With which credential to ask. Default: the tenant's default installation, else the platform's own key.
    #[param(value_type = Option<Uuid>)]
    credential_id: Option<String>,
}

impl VoicesQuery {
    pub(super) fn credential(&self) -> Result<Option<Uuid>, ApiError> {
        let given = self.credential_id.as_deref().filter(|id| !id.is_empty());
        let id = given.map(Uuid::try_parse).transpose();
        id.map_err(|_| ApiError::field("credential_id", "must be a UUID"))
    }
}

/// A page of voices, in the vendor's order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VoiceList {
    /// Who makes them.
    pub(super) provider: Provider,
    /// What can be chosen.
    pub(super) voices: Vec<Voice>,
    pub(super) pagination: Pagination,
}

/// What to say in whose voice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewRequest {
    /// The vendor's id of the voice.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9_-]+$")]
    voice_id: String,
    /// What to say.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    text: Personal<String>,
    /// With which credential. Default: as for the list of voices.
    pub(super) credential_id: Option<Uuid>,
    /// The vendor's model. Default: `eleven_flash_v2_5`.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    model: Option<String>,
    /// The text's language, as a BCP 47 tag. Default: what the model hears in it.
    #[schema(pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    language: Option<String>,
}

impl PreviewRequest {
    /// What to ask the vendor for.
    pub(super) fn into_speech(self) -> Result<Speech, ApiError> {
        let mut check = Checker::default();
        voice::voice_id(&mut check, &self.voice_id);
        check.text("text", self.text.expose(), 1..=LONGEST_TEXT);
        check.require("text", !self.text.expose().trim().is_empty(), "must have something to say");
        let model = self.model.unwrap_or_else(voice::model);
        check.model("model", &model);
        if let Some(language) = &self.language {
            check.language("language", language);
        }
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Speech { voice_id: self.voice_id, text: self.text, model, language: self.language })
    }
}

/// A text, spoken: MP3.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes the answer's body")]
pub(super) struct Audio(Vec<u8>);
