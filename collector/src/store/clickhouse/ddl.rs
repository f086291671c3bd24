//! Statements that make and change tables: for one server, or for each of a cluster's.

use super::connection::named;
use super::schema::REMEMBERED_BLOCKS;

/// Tables that are spread over the shards of a cluster, and by what: rows that are added up lie together. All
/// others are small, and whole on every server.
const SPREAD: [(&str, &str); 10] = [
    ("cells", "cityHash64(service, endpoint)"),
    ("host_cells", "cityHash64(service, endpoint)"),
    ("minute_cells", "cityHash64(service, endpoint)"),
    ("hour_cells", "cityHash64(service, endpoint)"),
    ("cells_by_detail", "cityHash64(service, endpoint)"),
    ("requests", "cityHash64(service, endpoint)"),
    ("costliest", "cityHash64(service, endpoint)"),
    ("processes", "cityHash64(service, source)"),
    ("profiles", "cityHash64(service, endpoint)"),
    ("profile_nodes", "cityHash64(service, endpoint)"),
];

/// Where tables are made.
#[derive(Debug, Clone)]
pub(super) struct Ddl {
    /// The database.
    pub(super) database: String,
    /// The cluster, if it is not one server.
    pub(super) cluster: Option<String>,
}

impl Ddl {
    /// What makes the database.
    pub(super) fn make_database(&self) -> String {
        let database = named(&self.database);
        format!(
            "CREATE DATABASE IF NOT EXISTS {database}{}",
            self.on_cluster()
        )
    }

    /// The statements of a migration without its comments.
    pub(super) fn statements(&self, migration: &str) -> Vec<String> {
        let lines = migration.lines().filter(|line| !line.starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let statements = text.split(';').map(str::trim);
        let statements = statements.filter(|statement| !statement.is_empty());
        statements.flat_map(|one| self.filled_in(one)).collect()
    }

    /// The table that holds the rows, as it is changed: `cells`, or `cells_local ON CLUSTER c`.
    pub(super) fn held(&self, table: &str) -> String {
        if self.is_spread(table) {
            self.everywhere(table)
        } else {
            table.to_owned()
        }
    }

    /// The same where a change is not replicated: on every server of a cluster.
    pub(super) fn everywhere(&self, table: &str) -> String {
        format!("{}{}", self.local(table), self.on_cluster())
    }

    /// What drops a table: the one that is asked first, and the one that holds the rows.
    pub(super) fn dropped(&self, table: &str) -> Vec<String> {
        let mut names = vec![format!("{table}{}", self.on_cluster())];
        if self.is_spread(table) {
            names.push(self.held(table));
        }
        let drop = names
            .iter()
            .map(|name| format!("DROP TABLE IF EXISTS {name}"));
        drop.collect()
    }

    /// Its name on each server.
    pub(super) fn local(&self, table: &str) -> String {
        if self.is_spread(table) {
            format!("{table}_local")
        } else {
            table.to_owned()
        }
    }

    fn is_spread(&self, table: &str) -> bool {
        self.cluster.is_some() && SPREAD.iter().any(|(name, _)| *name == table)
    }

    fn on_cluster(&self) -> String {
        let cluster = self.cluster.as_ref();
        cluster.map_or(String::new(), |name| format!(" ON CLUSTER {}", named(name)))
    }

    fn filled_in(&self, statement: &str) -> Vec<String> {
        // Without the first two a power cut may take what was acknowledged.
        let settings = format!(
            "fsync_after_insert = 1, fsync_part_directory = 1, \
             non_replicated_deduplication_window = {REMEMBERED_BLOCKS}, \
             replicated_deduplication_window = {REMEMBERED_BLOCKS}, \
             replicated_deduplication_window_seconds = 604800"
        );
        let statement = statement.replace("{settings}", &settings);
        // Rows go through the table that is asked.
        let Some((head, rest)) = statement.split_once(" {on_cluster}") else {
            return vec![statement];
        };
        let table = head.rsplit(' ').next().unwrap_or_default();
        let made = format!("{head}{}{rest}", self.on_cluster());
        let Some(cluster) = &self.cluster else {
            return vec![made.replace("{replicated}", "")];
        };
        let Some((_, by)) = SPREAD.iter().find(|(name, _)| *name == table) else {
            return vec![replicated(
                &made,
                "/clickhouse/tables/{uuid}/all",
                "{shard}_{replica}",
            )];
        };
        let local = made.replacen(table, &format!("{table}_local"), 1);
        if !head.starts_with("CREATE") {
            // First where the rows are: the other table asks there for columns, and has no index of its own.
            let has_columns = rest.contains("ADD COLUMN");
            return std::iter::once(local)
                .chain(has_columns.then_some(made))
                .collect();
        }
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        vec![
            replicated(&local, "/clickhouse/tables/{uuid}/{shard}", "{replica}"),
            format!(
                "CREATE TABLE IF NOT EXISTS {table}{on_cluster} AS {table}_local\n\
                 ENGINE = Distributed({}, {}, {table}_local, {by})",
                quoted(cluster),
                quoted(&self.database),
                on_cluster = self.on_cluster(),
            ),
        ]
    }
}

/// With a replicated engine, whose replicas meet at a path.
fn replicated(statement: &str, path: &str, replica: &str) -> String {
    let Some((before, engine)) = statement.split_once("{replicated}") else {
        return statement.to_owned();
    };
    let end = engine.find(|letter: char| !letter.is_alphanumeric());
    let (engine, rest) = engine.split_at(end.unwrap_or(engine.len()));
    format!("{before}Replicated{engine}('{path}', '{replica}'){rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_as_it_is_made_on_a_cluster() {
        let ddl = Ddl {
            database: "app weight".into(),
            cluster: Some("it's a `cluster`".into()),
        };
        let mut all = vec![ddl.make_database()];
        for migration in super::super::schema::MIGRATIONS {
            all.extend(ddl.statements(migration));
        }
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
