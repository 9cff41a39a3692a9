//! The way from a request to its [`Principal`].

use std::{marker::PhantomData, ops::Deref};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{AtLeast, Principal, Role};
use crate::{
    Control,
    error::ApiError,
    http::{Caller, Demanded},
};

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
        if let Some(demanded) = parts.extensions.get::<Demanded>() {
            demanded.tell(R::ROLE);
        }
        let principal = match parts.extensions.get::<Caller>() {
            Some(Caller(caller)) => caller.clone()?,
            // A route outside of the API's gate.
            None => {
                let control = Control::from_ref(state);
                let principal = control.auth.authenticate(&control.db, &parts.headers).await?;
                tracing::Span::current().record("tenant_id", tracing::field::display(principal.tenant));
                principal
            }
        };
        principal.at_least(R::ROLE)?;
        Ok(Self(principal, PhantomData))
    }
}

impl Principal {
    /// Refuses whoever has less than a role.
    pub(crate) fn at_least(&self, role: Role) -> Result<(), ApiError> {
        if self.role < role {
            return Err(ApiError::denied(format!("This needs the role {role} or a higher one")));
        }
        Ok(())
    }
}
