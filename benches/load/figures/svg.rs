//! Pictures as SVG: a title, bars or curves, readable on light and on dark pages.
//!
//! Knows nothing of what the numbers mean.

/// The size of a picture.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;

/// The part of it where curves go: left, top, right, bottom.
const FRAME: [f64; 4] = [70.0, 50.0, 640.0, 340.0];

/// What is drawn as a curve: its name and its points.
pub(super) type Curve = (&'static str, Vec<(f64, f64)>);

/// Draws a group of bars for each name, one bar for each of `kinds`. What is far longer than the rest is cut and says so.
pub(super) fn bars(title: &str, kinds: &[&str], groups: &[(&'static str, Vec<f64>)]) -> String {
    let mut picture = begin(title);
    let mut values: Vec<f64> = groups
        .iter()
        .flat_map(|(_, values)| values.iter().copied())
        .collect();
    values.sort_by(f64::total_cmp);
    // Whoever is more than five times as long as most would leave nothing of them to see.
    let most = values.get(values.len() / 2).copied().unwrap_or(1.0) * 5.0;
    let longest = values
        .iter()
        .copied()
        .filter(|value| *value <= most)
        .fold(f64::MIN_POSITIVE, f64::max);
    let (left, room) = (110.0, 520.0);
    let height = (HEIGHT - 90.0) / groups.len().max(1) as f64;
    let thick = height * 0.8 / kinds.len().max(1) as f64;
    for (row, (name, values)) in groups.iter().enumerate() {
        let top = 50.0 + row as f64 * height;
        picture.push_str(&text(left - 10.0, top + height / 2.0, "end", name));
        for (kind, value) in values.iter().enumerate() {
            let cut = *value > most;
            let long = if cut {
                room
            } else {
                room * 0.9 * value / longest
            };
            let y = top + kind as f64 * thick;
            let (colour, opacity) = (colour(name), 1.0 - 0.4 * kind as f64);
            picture.push_str(&format!(
                "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{long:.1}\" height=\"{:.1}\" fill=\"{colour}\" \
                 fill-opacity=\"{opacity}\"/>\n",
                thick - 2.0
            ));
            let what = kinds.get(kind).copied().unwrap_or_default();
            let more = if cut { " (cut)" } else { "" };
            let words = format!("{} {what}{more}", short(*value));
            let (x, y) = (left + long + 6.0, y + thick / 2.0 + 2.0);
            picture.push_str(&text(x, y, "start", &words));
        }
    }
    picture.push_str("</svg>\n");
    picture
}

/// Draws curves from the origin, `logarithmic` from the first x on.
pub(super) fn curves(
    title: &str,
    [across, upwards]: [&str; 2],
    logarithmic: bool,
    curves: &[Curve],
) -> String {
    let mut picture = begin(title);
    let [left, top, right, bottom] = FRAME;
    let points = || curves.iter().flat_map(|(_, points)| points);
    let widest = points().map(|(x, _)| *x).fold(f64::MIN_POSITIVE, f64::max);
    let highest = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let (step, steps) = scale(highest);
    let high = step * steps as f64;
    let at_x = |x: f64| {
        let part = if logarithmic {
            x.max(1.0).log2() / widest.log2().max(1.0)
        } else {
            x / widest
        };
        left + (right - left) * part
    };
    let at_y = |y: f64| bottom - (bottom - top) * y / high;
    for number in 0..=steps {
        let value = step * number as f64;
        let y = at_y(value);
        picture.push_str(&format!(
            "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\n"
        ));
        picture.push_str(&text(left - 8.0, y + 4.0, "end", &short(value)));
    }
    let marks: Vec<f64> = if logarithmic {
        let mut marks: Vec<f64> = points().map(|(x, _)| *x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        marks
    } else {
        let (step, steps) = scale(widest);
        let marks = (0..=steps).map(|number| step * number as f64);
        marks.filter(|mark| *mark <= widest).collect()
    };
    for mark in marks {
        picture.push_str(&text(at_x(mark), bottom + 18.0, "middle", &short(mark)));
    }
    picture.push_str(&text(
        f64::midpoint(left, right),
        bottom + 42.0,
        "middle",
        across,
    ));
    picture.push_str(&text(left - 40.0, top - 12.0, "start", upwards));
    let mut labels: Vec<(f64, &str)> = Vec::new();
    for (name, points) in curves {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)))
            .collect();
        let (colour, wide) = (colour(name), if ours(name) { 3.5 } else { 2.0 });
        picture.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{wide}\"/>\n",
            path.join(" ")
        ));
        if let Some((_, y)) = points.last() {
            labels.push((at_y(*y), name));
        }
    }
    // Names stand at the ends of their curves, but not on each other.
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = top;
    for (y, name) in labels {
        let y = y.max(free);
        free = y + 16.0;
        picture.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{}\">{name}</text>\n",
            right + 8.0,
            y + 4.0,
            colour(name)
        ));
    }
    picture.push_str("</svg>\n");
    picture
}

fn begin(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n<title>{title}</title>\n<style>\n\
         text {{ fill: #24292f; }} .grid {{ stroke: #8a8f98; stroke-opacity: .35; }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #d5dbe3; }} }}\n</style>\n\
         <text x=\"20\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{title}</text>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>\n")
}

/// Returns a round step and how many of them hold a value.
fn scale(most: f64) -> (f64, usize) {
    let size = 10_f64.powf(most.log10().floor());
    let step = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0]
        .into_iter()
        .map(|part| part * size)
        .find(|step| most / step <= 6.0)
        .unwrap_or(size);
    (step, (most / step).ceil() as usize)
}

/// Words a number with three digits that count.
fn short(value: f64) -> String {
    let digits = if value == 0.0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

fn ours(name: &str) -> bool {
    name == super::OURS
}

/// Returns a colour that stands out from white and from black.
fn colour(name: &str) -> &'static str {
    match name {
        "direct" => "#8a8f98",
        "nginx" => "#2f9e5f",
        "HAProxy" => "#3d7fd9",
        "stunnel" => "#b07d12",
        "predecessor" => "#a35fc4",
        _ => "#e0503a",
    }
}
