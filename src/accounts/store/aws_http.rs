//! Carries the AWS library's requests with the program's own HTTP client, so that there is one TLS, one trust, one proxy.
//!
//! Knows no service of AWS; the library decides what is sent and how long it may take.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_runtime_api::shared::IntoShared as _;
use aws_smithy_types::body::SdkBody;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::http::Carrier;

/// Returns what the AWS library sends its requests with.
pub(super) fn over(carrier: Carrier) -> SharedHttpClient {
    http_client_fn(move |_settings, _components| Courier(carrier.clone()).into_shared())
}

#[derive(Clone, Debug)]
struct Courier(Carrier);

impl HttpConnector for Courier {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let carrier = self.0.clone();
        HttpConnectorFuture::new(async move {
            carry(&carrier, request)
                .await
                .map_err(|why| ConnectorError::io(why.into()))
        })
    }
}

async fn carry(carrier: &Carrier, request: HttpRequest) -> Result<HttpResponse, String> {
    let odd = |error: &dyn std::fmt::Display| format!("the request cannot be sent: {error}");
    let method: reqwest::Method = request.method().parse().map_err(|error| odd(&error))?;
    let url: url::Url = request.uri().parse().map_err(|error| odd(&error))?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        let name: HeaderName = name.parse().map_err(|error| odd(&error))?;
        let value: HeaderValue = value.parse().map_err(|error| odd(&error))?;
        headers.append(name, value);
    }
    let body = request
        .body()
        .bytes()
        .ok_or("a body that streams cannot be sent")?
        .to_vec();
    let answer = carrier.send(method, url, headers, body).await?;
    let status = StatusCode::try_from(answer.status).map_err(|error| odd(&error))?;
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
    for (name, value) in &answer.headers {
        if let Ok(value) = value.to_str() {
            response
                .headers_mut()
                .try_append(name.as_str().to_owned(), value.to_owned())
                .map_err(|error| odd(&error))?;
        }
    }
    Ok(response)
}
