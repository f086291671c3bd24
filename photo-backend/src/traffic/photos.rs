use bytes::Bytes;
use fastrand::Rng;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

const SIZES: [(u32, u32); 4] = [(400, 300), (420, 316), (440, 330), (460, 344)];

/// A few JPEGs such as a phone would send, only smaller: smooth areas, edges and noise.
pub(super) fn photos() -> Vec<Bytes> {
    let mut rng = Rng::with_seed(7);
    SIZES
        .into_iter()
        .map(|size| photo(size, &mut rng))
        .collect()
}

fn photo((width, height): (u32, u32), rng: &mut Rng) -> Bytes {
    let horizon = height / 2;
    let (sun_x, sun_y) = (rng.u32(0..width), rng.u32(0..horizon));
    let image = RgbImage::from_fn(width, height, |x, y| {
        let from_sun = x.abs_diff(sun_x).pow(2) + y.abs_diff(sun_y).pow(2);
        let noise = rng.u8(0..12);
        let shade = |value: u32| u8::try_from(value % 240).unwrap_or_default() + noise;
        if from_sun < 900 {
            Rgb([shade(230), shade(200), shade(90)])
        } else if y < horizon {
            Rgb([shade(60 + y / 4), shade(110 + y / 4), shade(200)])
        } else {
            Rgb([
                shade(x / 3),
                shade(80 + (x / 16 + y / 16) % 2 * 40),
                shade(50),
            ])
        }
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80)
        .encode_image(&image)
        .expect("an RGB image can be written to memory");
    jpeg.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_jpegs_of_some_size_and_always_the_same() {
        let photos = photos();
        assert_eq!(photos, super::photos());
        for (photo, (width, height)) in photos.iter().zip(SIZES) {
            let decoded = image::load_from_memory(photo).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (width, height));
            assert!(photo.len() > 8 * 1024);
        }
    }
}
