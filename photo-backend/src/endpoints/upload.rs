use std::sync::Arc;

use appweight_agent::{profiled, scope};
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat};
use serde::{Deserialize, Serialize};

use super::now_s;
use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::measured;
use crate::store::NewMedia;
use crate::views::{answer, encode};

const SIDES: [u32; 2] = [240, 120];
const QUALITY: u8 = 80;

#[derive(Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    caption: String,
    #[serde(default)]
    location: String,
}

#[derive(Serialize)]
struct Upload {
    id: i64,
    width: u32,
    height: u32,
    renditions: Vec<Rendition>,
}

#[derive(Serialize)]
struct Rendition {
    width: u32,
    height: u32,
    bytes: usize,
}

/// `POST /media`: a JPEG is decoded, scaled down and encoded anew.
#[profiled]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
    Query(about): Query<About>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let photo = {
        scope!("decode");
        image::load_from_memory_with_format(&body, ImageFormat::Jpeg)?
    };
    let renditions = SIDES
        .into_iter()
        .map(|side| rendition(&photo, side))
        .collect::<Result<_, _>>()?;
    let (width, height) = (photo.width(), photo.height());
    let media = NewMedia {
        author: viewer,
        taken_at: now_s(),
        width,
        height,
        caption: about.caption,
        location: about.location,
    };
    let id = measured::sqlite(|| app.store.insert_media(&media))?;
    Ok(answer(encode(&Upload {
        id,
        width,
        height,
        renditions,
    })?))
}

#[profiled]
fn rendition(photo: &DynamicImage, side: u32) -> Result<Rendition, ApiError> {
    let small = photo.thumbnail(side, side);
    let mut jpeg = Vec::new();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(Rendition {
        width: small.width(),
        height: small.height(),
        bytes: jpeg.len(),
    })
}
