//! Requests to the gateway that the wallet signs.

use crate::context::Connection;
use anyhow::{Context, Result};
use mythic_wire::{Origin, signed as wire_signed};
use reqwest::Method;
use serde_json::Value;
use solana_keypair::Keypair;

/// Sends a request that the wallet signs for `purpose` (see `mythic_wire::signed`).
pub async fn signed(
    connection: &Connection,
    wallet: &Keypair,
    purpose: &str,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> Result<Value> {
    let gateway = connection.gateway()?;
    let bytes = body
        .map(|body| body.to_string().into_bytes())
        .unwrap_or_default();
    let mut request = gateway.request(method.clone(), path);
    let origin = Origin::parse(gateway.base())?;
    let to_sign = wire_signed::Request {
        origin: &origin,
        method: method.as_str(),
        path,
        purpose,
        body: &bytes,
    };
    for (name, value) in wire_signed::sign(&to_sign, wallet) {
        request = request.header(name, value);
    }
    if !bytes.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(bytes);
    }
    gateway
        .send(request)
        .await?
        .json()
        .await
        .context("the gateway's answer is not JSON")
}
