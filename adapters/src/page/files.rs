//! The files of the page, as they are in the program.

use crate::http::Response;

/// The page runs what this program serves and nothing else, and shows itself in no other page.
const HEADERS: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

/// Name below `/ui/`, type, contents.
const FILES: &[(&str, &str, &str)] = &[
    ("", "text/html; charset=utf-8", include_str!("files/page.html")),
    (
        "page.css",
        "text/css; charset=utf-8",
        include_str!("files/page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("files/page.js"),
    ),
    (
        "draw.js",
        "text/javascript; charset=utf-8",
        include_str!("files/draw.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("files/icon.svg")),
];

pub(super) fn file(name: &str) -> Response {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    found.map_or_else(Response::not_found, |(_, content_type, text)| Response {
        status: 200,
        content_type,
        headers: HEADERS,
        body: (*text).to_owned(),
    })
}

/// The page names its files relative to a slash at the end of its own name.
pub(super) fn to_the_page() -> Response {
    Response {
        status: 308,
        content_type: "text/plain; charset=utf-8",
        headers: &[("Location", "ui/")],
        body: "ui/\n".to_owned(),
    }
}

pub(super) fn json(status: u16, body: String) -> Response {
    Response {
        status,
        content_type: "application/json",
        headers: HEADERS,
        body,
    }
}
