//! `GET /docs`: the description for people, as Swagger UI shows it. Its files are in the program, so nothing is loaded from elsewhere.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::Response,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Nothing from elsewhere, nothing in a frame, and requests to this server alone. Swagger UI styles its elements in place, and draws
/// its icons from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page and its files.
pub(super) fn routes() -> Router {
    let config = Config::from("/openapi.json")
        .try_it_out_enabled(false)
        .display_request_duration(true)
        .filter(true)
        .deep_linking(true)
        .validator_url("none")
        .use_base_layout();
    Router::from(SwaggerUi::new("/docs").config(config)).layer(axum::middleware::map_response(guard))
}

async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page, and each file that it loads, comes from here, as the browser expects it under the policy.
    #[tokio::test]
    async fn the_page_is_whole_and_asks_nobody_else() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async { axum::serve(listener, routes()).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = http.get(format!("{url}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-security-policy"], POLICY, "{path}");
            (answer.headers()["content-type"].to_str().unwrap().to_owned(), answer.text().await.unwrap())
        };
        let (kind, page) = get("/docs").await;
        assert!(kind.starts_with("text/html"), "{kind}");
        let mut files = 0;
        for attribute in ["src=\"", "href=\""] {
            for (at, _) in page.match_indices(attribute) {
                let file = page[at + attribute.len()..].split('"').next().unwrap();
                assert!(!file.contains("//"), "{file} is elsewhere");
                let (kind, _) = get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
                let expected = [(".js", "javascript"), (".css", "text/css"), (".png", "image/png")];
                assert!(expected.iter().any(|(end, is)| file.ends_with(end) && kind.contains(is)), "{file}: {kind}");
                files += 1;
            }
        }
        assert!(files >= 5, "{files} files");
        // What is written into the page itself would not run.
        assert!(!page.contains("<script>"), "{page}");
        let (_, initializer) = get("/docs/swagger-initializer.js").await;
        assert!(initializer.contains("\"/openapi.json\""), "{initializer}");
        server.abort();
    }
}
