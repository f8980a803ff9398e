//! The known name that a mistyped one was meant to be, for errors that say so.

/// The known name that a slip of the finger could have turned into `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|near| (distance(&name, near), near))
        .filter(|(distance, near)| *distance <= (near.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, near)| near)
}

/// How many characters have to be inserted, removed, replaced or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_a_slip_of_the_finger_away() {
        let known = ["video", "job_type", "error"];
        assert_eq!(nearest("vidoe", known), Some("video"));
        assert_eq!(nearest("Job-Type", known), Some("job_type"));
        assert_eq!(nearest("payload", known), None);
    }
}
