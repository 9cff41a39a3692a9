//! What a fault makes of a plain HTTP answer, where the vendor has no form of its own for it.

use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use crate::fault::Fault;

/// The answer to a request that suffers `fault`. Vendors answer [`Fault::Refuse`] and [`Fault::ErrorAfter`] in their own words: here
/// they are bare statuses.
pub(crate) async fn answer(fault: Fault) -> Response {
    match fault {
        Fault::Refuse { status, .. } => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Fault::ErrorAfter(after, _) => {
            sleep(after).await;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Fault::Hang => std::future::pending().await,
        Fault::DropAfter(after) => {
            sleep(after).await;
            body(stream::once(async { Err("cut") }))
        }
        Fault::StallAfter(after) => {
            sleep(after).await;
            body(stream::once(async { Ok("{") }).chain(stream::pending()))
        }
        Fault::GarbageAfter(after) => {
            sleep(after).await;
            ([(CONTENT_TYPE, "text/html")], "<html><body>It works!</body></html>").into_response()
        }
    }
}

fn body(parts: impl stream::Stream<Item = Result<&'static str, &'static str>> + Send + 'static) -> Response {
    let body = Body::from_stream(parts.map(|part| part.map_err(std::io::Error::other)));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
