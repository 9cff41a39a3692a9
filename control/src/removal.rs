//! What comes of removing something that other things may refer to.

use crate::{
    error::{ApiError, ErrorCode},
    http::{Empty, Reply},
};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// Something refers to it, so it stays.
    InUse,
    /// It wasn't there.
    NotThere,
}

impl Removal {
    /// The answer to whoever asked for it.
    pub(crate) fn answer(
        self,
        removed: &'static str,
        in_use: &'static str,
        missing: ErrorCode,
    ) -> Result<Reply<Empty>, ApiError> {
        match self {
            Self::Removed => Ok(Reply::ok(removed, Empty)),
            Self::InUse => Err(ApiError::conflict(in_use)),
            Self::NotThere => Err(ApiError::not_found(missing)),
        }
    }
}
