//! PDF without a browser: pages of A4 with our two fonts, filled from top to bottom. Everything that colour
//! says is also said in words or by a shape, because it may be printed in black and white.

use std::sync::LazyLock;

use krilla::{
    Document,
    color::rgb,
    geom::{PathBuilder, Point, Rect, Size, Transform},
    image::Image,
    metadata::Metadata,
    num::NormalizedF32,
    page::PageSettings,
    paint::{Fill, LineCap, LineJoin, Stroke, StrokeDash},
    surface::Surface,
    text::{Font, TextDirection},
};
use model::brand::Brand;

static REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
static SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// A4 in points.
const PAGE: (f32, f32) = (595.28, 841.89);
/// Empty on each side.
pub(crate) const MARGIN: f32 = 50.0;
/// Width of what stands between them.
pub(crate) const WIDTH: f32 = PAGE.0 - 2.0 * MARGIN;
const FOOT: f32 = 40.0;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[error("the PDF cannot be written: {0}")]
pub struct Error(String);

/// Red, green, blue.
pub(crate) type Colour = (u8, u8, u8);
pub(crate) const INK: Colour = (27, 31, 38);
pub(crate) const SOFT: Colour = (90, 98, 112);
pub(crate) const LINE: Colour = (200, 205, 213);

/// Which of the two fonts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Semibold,
}

struct Face {
    font: Font,
    metrics: ttf_parser::Face<'static>,
}

impl Face {
    fn load(bytes: &'static [u8]) -> Option<Self> {
        Some(Self {
            font: Font::new(bytes.into(), 0)?,
            metrics: ttf_parser::Face::parse(bytes, 0).ok()?,
        })
    }

    /// Width of a text in points.
    fn width(&self, text: &str, size: f32) -> f32 {
        let units: u32 = text
            .chars()
            .filter_map(|c| self.metrics.glyph_index(c))
            .map(|glyph| u32::from(self.metrics.glyph_hor_advance(glyph).unwrap_or(0)))
            .sum();
        #[allow(clippy::cast_precision_loss)] // widths of a line
        let units = units as f32;
        units * size / f32::from(self.metrics.units_per_em())
    }

    /// A text with a mark in the place of what the font has no sign for.
    fn shown(&self, text: &str) -> String {
        text.chars()
            .filter(|c| !c.is_control())
            .map(|c| {
                if self.metrics.glyph_index(c).is_some() {
                    c
                } else {
                    '\u{25a1}'
                }
            })
            .collect()
    }
}

static FACES: LazyLock<Option<(Face, Face)>> =
    LazyLock::new(|| Some((Face::load(REGULAR)?, Face::load(SEMIBOLD)?)));

/// What is drawn on a page, kept until it is known how many pages there are.
enum Mark {
    Text(f32, f32, f32, Weight, Colour, String),
    Box(Rect, Colour),
    /// A box with an outline and nothing in it.
    Frame(Rect, Colour),
    Line(Vec<(f32, f32)>, Colour, f32, bool),
    Logo(f32, f32, f32, f32),
}

/// A document that fills from top to bottom.
pub(crate) struct Sheet {
    pages: Vec<Vec<Mark>>,
    /// Where the next thing goes, from the top.
    pub(crate) y: f32,
    faces: &'static (Face, Face),
    logo: Option<Image>,
    foot: String,
    title: String,
}

impl Sheet {
    pub(crate) fn new(title: &str, foot: &str, brand: &Brand) -> Result<Self, Error> {
        let faces = FACES
            .as_ref()
            .ok_or_else(|| Error("the fonts cannot be read".into()))?;
        let logo = brand.logo.as_ref().and_then(|(kind, bytes)| {
            let data = bytes.clone().into();
            // One that cannot be read is left out, not the report.
            match kind.as_str() {
                "image/png" => Image::from_png(data, true).ok(),
                _ => Image::from_jpeg(data, true).ok(),
            }
        });
        Ok(Self {
            pages: vec![vec![]],
            y: MARGIN,
            faces,
            logo,
            foot: foot.to_owned(),
            title: title.to_owned(),
        })
    }

    fn face(&self, weight: Weight) -> &'static Face {
        match weight {
            Weight::Regular => &self.faces.0,
            Weight::Semibold => &self.faces.1,
        }
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    /// Begins a new page unless so much is left on this one.
    pub(crate) fn keep(&mut self, height: f32) {
        if self.y + height > PAGE.1 - MARGIN - FOOT {
            self.pages.push(vec![]);
            self.y = MARGIN;
        }
    }

    /// Width of a text in points.
    pub(crate) fn width(&self, text: &str, size: f32, weight: Weight) -> f32 {
        self.face(weight).width(text, size)
    }

    /// One line at a place; `y` is its baseline.
    pub(crate) fn text_at(
        &mut self,
        x: f32,
        y: f32,
        size: f32,
        weight: Weight,
        colour: Colour,
        text: &str,
    ) {
        let text = self.face(weight).shown(text);
        self.mark(Mark::Text(x, y, size, weight, colour, text));
    }

    /// The same that ends at `x`.
    pub(crate) fn text_to(
        &mut self,
        x: f32,
        y: f32,
        size: f32,
        weight: Weight,
        colour: Colour,
        text: &str,
    ) {
        let shown = self.face(weight).shown(text);
        let width = self.width(&shown, size, weight);
        self.mark(Mark::Text(x - width, y, size, weight, colour, shown));
    }

    /// A text cut to a width, with three dots where something is missing.
    pub(crate) fn cut(&self, text: &str, width: f32, size: f32, weight: Weight) -> String {
        if self.width(text, size, weight) <= width {
            return text.to_owned();
        }
        let mut cut: Vec<char> = text.chars().collect();
        while !cut.is_empty() {
            cut.pop();
            let shown: String = cut.iter().collect::<String>().trim_end().to_owned() + "…";
            if self.width(&shown, size, weight) <= width {
                return shown;
            }
        }
        String::new()
    }

    /// Words in lines of a width, below what is there.
    pub(crate) fn paragraph(&mut self, text: &str, size: f32, colour: Colour) {
        let mut lines: Vec<String> = vec![];
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.faces.0.width(&format!("{line} {word}"), size) <= WIDTH => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        for line in lines {
            self.keep(size * 1.5);
            self.y += size * 1.5;
            let y = self.y - size * 0.4;
            self.text_at(MARGIN, y, size, Weight::Regular, colour, &line);
        }
    }

    /// The head of a section, which stays with at least `with` points below it.
    pub(crate) fn heading(&mut self, text: &str, colour: Colour, with: f32) {
        self.keep(40.0 + with);
        self.y += 24.0;
        self.fill(MARGIN, self.y - 11.0, 3.0, 14.0, colour);
        self.text_at(MARGIN + 10.0, self.y, 13.0, Weight::Semibold, INK, text);
        self.y += 12.0;
    }

    pub(crate) fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, colour: Colour) {
        if let Some(rect) = Rect::from_xywh(x, y, width.max(0.1), height.max(0.1)) {
            self.mark(Mark::Box(rect, colour));
        }
    }

    pub(crate) fn frame(&mut self, x: f32, y: f32, width: f32, height: f32, colour: Colour) {
        if let Some(rect) = Rect::from_xywh(x, y, width.max(0.1), height.max(0.1)) {
            self.mark(Mark::Frame(rect, colour));
        }
    }

    pub(crate) fn line(
        &mut self,
        points: Vec<(f32, f32)>,
        colour: Colour,
        width: f32,
        is_dashed: bool,
    ) {
        self.mark(Mark::Line(points, colour, width, is_dashed));
    }

    /// The logo within a box, its right edge at `right`; answers whether there is one.
    pub(crate) fn logo(&mut self, right: f32, y: f32, width: f32, height: f32) -> bool {
        let Some(logo) = &self.logo else {
            return false;
        };
        let (w, h) = logo.size();
        #[allow(clippy::cast_precision_loss)] // pixels of a small picture
        let (w, h) = (w as f32, h as f32);
        let scale = (width / w).min(height / h);
        let (w, h) = (w * scale, h * scale);
        self.mark(Mark::Logo(right - w, y + (height - h) / 2.0, w, h));
        true
    }

    /// The bytes of the document.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Error> {
        let failed = |e: &dyn std::fmt::Debug| Error(format!("{e:?}"));
        let mut document = Document::new();
        document.set_metadata(
            Metadata::new()
                .title(self.title.clone())
                .language("en".into())
                .creator("Tenantry".into()),
        );
        let count = self.pages.len();
        for (number, marks) in self.pages.iter().enumerate() {
            let settings = PageSettings::from_wh(PAGE.0, PAGE.1)
                .ok_or_else(|| Error("A4 is no size".into()))?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for mark in marks {
                self.draw(&mut surface, mark);
            }
            let y = PAGE.1 - MARGIN;
            let foot = self.face(Weight::Regular).shown(&self.foot);
            let place = format!("{} of {count}", number + 1);
            let right = PAGE.0 - MARGIN - self.width(&place, 8.0, Weight::Regular);
            for (x, text) in [(MARGIN, foot), (right, place)] {
                self.draw(
                    &mut surface,
                    &Mark::Text(x, y, 8.0, Weight::Regular, SOFT, text),
                );
            }
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|e| failed(&e))
    }

    fn draw(&self, surface: &mut Surface<'_>, mark: &Mark) {
        let paint = |(r, g, b): Colour| rgb::Color::new(r, g, b).into();
        let filled = |colour| Fill {
            paint: paint(colour),
            opacity: NormalizedF32::ONE,
            rule: Default::default(),
        };
        let stroked = |colour, width, is_dashed: bool| Stroke {
            paint: paint(colour),
            width,
            miter_limit: 4.0,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            opacity: NormalizedF32::ONE,
            dash: is_dashed.then(|| StrokeDash {
                array: vec![3.0, 3.0],
                offset: 0.0,
            }),
        };
        match mark {
            Mark::Text(x, y, size, weight, colour, text) => {
                surface.set_stroke(None);
                surface.set_fill(Some(filled(*colour)));
                let font = self.face(*weight).font.clone();
                let place = Point::from_xy(*x, *y);
                surface.draw_text(place, font, *size, text, false, TextDirection::Auto);
            }
            Mark::Box(rect, colour) => {
                surface.set_stroke(None);
                surface.set_fill(Some(filled(*colour)));
                let mut path = PathBuilder::new();
                path.push_rect(*rect);
                if let Some(path) = path.finish() {
                    surface.draw_path(&path);
                }
            }
            Mark::Frame(rect, colour) => {
                surface.set_fill(None);
                surface.set_stroke(Some(stroked(*colour, 0.8, false)));
                let mut path = PathBuilder::new();
                path.push_rect(*rect);
                if let Some(path) = path.finish() {
                    surface.draw_path(&path);
                }
            }
            Mark::Line(points, colour, width, is_dashed) => {
                surface.set_fill(None);
                surface.set_stroke(Some(stroked(*colour, *width, *is_dashed)));
                let mut path = PathBuilder::new();
                for (i, (x, y)) in points.iter().enumerate() {
                    match i {
                        0 => path.move_to(*x, *y),
                        _ => path.line_to(*x, *y),
                    }
                }
                if let Some(path) = path.finish() {
                    surface.draw_path(&path);
                }
            }
            Mark::Logo(x, y, width, height) => {
                if let (Some(logo), Some(size)) = (&self.logo, Size::from_wh(*width, *height)) {
                    surface.push_transform(&Transform::from_translate(*x, *y));
                    surface.draw_image(logo.clone(), size);
                    surface.pop();
                }
            }
        }
    }
}
