//! One metric: a histogram for each set of attributes.

use super::message::{Attribute, Histogram, Metric, Point, times};
use crate::telemetry::query::Record;

pub(super) struct Histograms<'a> {
    name: &'static str,
    unit: &'static str,
    bounds: &'static [f64],
    points: Vec<Point<'a>>,
    /// Where the point that was added to last is: neighbours are mostly alike.
    last: usize,
}

impl<'a> Histograms<'a> {
    pub(super) fn new(name: &'static str, unit: &'static str, bounds: &'static [f64]) -> Self {
        Self { name, unit, bounds, points: Vec::new(), last: 0 }
    }

    /// Counts a value of a row, where it is known.
    pub(super) fn add(&mut self, attributes: Vec<Attribute<'a>>, row: &Record, value: Option<f64>) {
        let Some(value) = value else { return };
        let (start, end) = times(row);
        let point = self.point(attributes, row);
        let bucket = point.explicit_bounds.partition_point(|bound| *bound < value);
        point.bucket_counts[bucket] += 1;
        point.count += 1;
        point.sum += value;
        point.start_time_unix_nano = point.start_time_unix_nano.min(start);
        point.time_unix_nano = point.time_unix_nano.max(end);
    }

    fn point(&mut self, attributes: Vec<Attribute<'a>>, row: &Record) -> &mut Point<'a> {
        if self.points.get(self.last).is_none_or(|point| point.attributes != attributes) {
            let known = self.points.iter().position(|point| point.attributes == attributes);
            self.last = known.unwrap_or(self.points.len());
        }
        if self.last == self.points.len() {
            let (start, end) = times(row);
            self.points.push(Point {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: end,
                count: 0,
                sum: 0.0,
                bucket_counts: vec![0; self.bounds.len() + 1],
                explicit_bounds: self.bounds,
            });
        }
        &mut self.points[self.last]
    }

    /// The metric; none where nothing was counted.
    pub(super) fn metric(&self) -> Option<Metric<'_>> {
        let histogram = || Histogram::new(&self.points);
        let Self { name, unit, .. } = *self;
        (!self.points.is_empty()).then(|| Metric { name, unit, histogram: histogram() })
    }
}
