//! The way from a request to its [`Principal`].

use std::{marker::PhantomData, ops::Deref};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{AtLeast, Principal};
use crate::{Control, error::ApiError};

/// A caller who has at least the role `R`.
#[derive(Debug, Clone)]
pub struct Allowed<R>(Principal, PhantomData<R>);

impl<R> Deref for Allowed<R> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<R: AtLeast, S: Send + Sync> FromRequestParts<S> for Allowed<R>
where
    Control: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let control = Control::from_ref(state);
        let principal = control.auth.authenticate(&control.db, &parts.headers).await?;
        tracing::Span::current().record("tenant_id", tracing::field::display(principal.tenant));
        if principal.role < R::ROLE {
            return Err(ApiError::denied(format!("This needs the role {} or a higher one", R::ROLE)));
        }
        Ok(Self(principal, PhantomData))
    }
}
