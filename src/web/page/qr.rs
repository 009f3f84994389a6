//! A QR code as a picture: the address of a device code, for a telephone. Pure.

use qrcode::{Color, EcLevel, QrCode};

/// The longest text that is drawn, in bytes: beyond it the modules are too small for a screen.
const MOST: usize = 300;

/// The light margin that readers need, in modules.
const QUIET: usize = 4;

/// Draws a text, black on white whatever the page's colours are; nothing if it is too long.
pub(super) fn draw(text: &str) -> Option<String> {
    if text.len() > MOST {
        return None;
    }
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, colour) in code.to_colors().into_iter().enumerate() {
        if colour == Color::Dark {
            let (x, y) = (at % width + QUIET, at / width + QUIET);
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    let whole = width + 2 * QUIET;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} {whole}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{whole}v{whole}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_in_its_quiet_zone() {
        let svg = draw("https://login.example/device?user_code=ABCD-EFGH").unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
        assert!(svg.contains("M4 4h1v1h-1z"), "the first corner");
        assert!(!svg.contains("M3 "), "nothing in the quiet zone");
        assert_eq!(draw(&"x".repeat(301)), None);
    }
}
