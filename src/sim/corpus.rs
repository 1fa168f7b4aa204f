//! Invented code and conversations: the prompts that simulated developers type, and what the fake Copilot makes of them.

use super::rng::Seeded;

/// A place in a file where a developer pauses, and the ghost text that fits there.
#[derive(Debug)]
pub(crate) struct Snippet {
    /// VS Code's language identifier, as in `extra.language`.
    pub(crate) language: &'static str,
    /// Path that the prompt names.
    pub(crate) path: &'static str,
    /// Text before the cursor.
    pub(crate) prefix: &'static str,
    /// Text after the cursor.
    pub(crate) suffix: &'static str,
    /// The completion.
    pub(crate) completion: &'static str,
}

/// A question and its answer.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Language of the file in front of the developer.
    pub(crate) language: &'static str,
    /// What the developer asks.
    pub(crate) question: &'static str,
    /// What Copilot says, in Markdown.
    pub(crate) answer: &'static str,
}

macro_rules! snippet {
    ($language:literal, $path:literal, $prefix:literal, $suffix:literal, $completion:literal) => {
        Snippet { language: $language, path: $path, prefix: $prefix, suffix: $suffix, completion: $completion }
    };
}

pub(crate) const SNIPPETS: &[Snippet] = &[
    snippet!(
        "python",
        "billing/invoice.py",
        "def total_with_tax(lines, rate):\n    \"\"\"Sum of all lines, tax included.\"\"\"\n",
        "\n\ndef overdue(invoice, today):\n",
        "    net = sum(line.amount for line in lines)\n    return round(net * (1 + rate), 2)"
    ),
    snippet!(
        "python",
        "weather/station.py",
        "class Station:\n    def __init__(self, name, readings=None):\n        self.name = name\n",
        "\n    def mean(self):\n",
        "        self.readings = list(readings or [])"
    ),
    snippet!(
        "python",
        "jobs/retry.py",
        "def retry(task, attempts=3):\n    for attempt in range(attempts):\n",
        "",
        "        try:\n            return task()\n        except TimeoutError:\n            if attempt + 1 == attempts:\n                raise"
    ),
    snippet!(
        "typescript",
        "src/cart.ts",
        "export function subtotal(items: CartItem[]): number {\n",
        "\n}\n",
        "  return items.reduce((sum, item) => sum + item.price * item.quantity, 0);"
    ),
    snippet!(
        "typescript",
        "src/debounce.ts",
        "export function debounce<T extends unknown[]>(run: (...args: T) => void, wait: number) {\n",
        "\n}\n",
        "  let timer: ReturnType<typeof setTimeout> | undefined;\n  return (...args: T) => {\n    clearTimeout(timer);\n    timer = setTimeout(() => run(...args), wait);\n  };"
    ),
    snippet!(
        "go",
        "internal/queue/queue.go",
        "// Push appends a job and wakes one worker.\nfunc (q *Queue) Push(job Job) {\n",
        "\n}\n",
        "\tq.mu.Lock()\n\tdefer q.mu.Unlock()\n\tq.jobs = append(q.jobs, job)\n\tq.ready.Signal()"
    ),
    snippet!(
        "go",
        "cmd/serve/main.go",
        "\tserver := &http.Server{Addr: addr, Handler: routes()}\n\tif err := server.ListenAndServe(); ",
        "\n}\n",
        "err != nil && !errors.Is(err, http.ErrServerClosed) {\n\t\tlog.Fatal(err)\n\t}"
    ),
    snippet!(
        "rust",
        "src/grid.rs",
        "impl Grid {\n    /// The cell at a position, if it lies inside.\n    pub fn get(&self, x: usize, y: usize) -> Option<&Cell> {\n",
        "\n    }\n}\n",
        "        self.cells.get(y * self.width + x).filter(|_| x < self.width)"
    ),
    snippet!(
        "rust",
        "src/parse.rs",
        "fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {\n",
        "\n}\n",
        "    text.split(';').filter_map(|part| part.trim().split_once('='))"
    ),
    snippet!(
        "java",
        "src/main/java/shop/Order.java",
        "    public Money total() {\n",
        "\n    }\n}\n",
        "        return lines.stream().map(Line::price).reduce(Money.ZERO, Money::plus);"
    ),
    snippet!(
        "java",
        "src/main/java/shop/OrderRepository.java",
        "    public Optional<Order> findById(long id) {\n",
        "\n    }\n",
        "        return jdbc.query(SELECT_BY_ID, this::toOrder, id).stream().findFirst();"
    ),
    snippet!(
        "sql",
        "reports/revenue.sql",
        "-- Revenue per month and region, newest first\nSELECT ",
        "",
        "date_trunc('month', paid_at) AS month, region, sum(amount) AS revenue\nFROM payments\nGROUP BY 1, 2\nORDER BY 1 DESC, 2;"
    ),
    snippet!(
        "markdown",
        "docs/install.md",
        "# Installing\n\nThe service needs PostgreSQL 15 or newer.\n\n## Steps\n\n",
        "",
        "1. Create a database and a user for the service.\n2. Copy `config.example.toml` to `config.toml` and fill in the address."
    ),
];

macro_rules! conversation {
    ($language:literal, $question:literal, $answer:literal) => {
        Conversation { language: $language, question: $question, answer: $answer }
    };
}

pub(crate) const CONVERSATIONS: &[Conversation] = &[
    conversation!(
        "python",
        "How do I read a CSV file that is larger than memory?",
        "Read it row by row; the `csv` module is lazy:\n\n```python\nimport csv\n\nwith open(\"orders.csv\", newline=\"\") as file:\n    for row in csv.DictReader(file):\n        handle(row)\n```\n\nOnly one row is in memory at a time."
    ),
    conversation!(
        "typescript",
        "Why does this promise never reject?",
        "The `async` callback's promise is dropped, so nobody sees its error. Return it:\n\n```typescript\nawait Promise.all(urls.map((url) => load(url)));\n```\n\n`Promise.all` rejects as soon as one of them does."
    ),
    conversation!(
        "go",
        "Write a test for the Push method.",
        "A table is more than this needs; one case shows the behaviour:\n\n```go\nfunc TestPush(t *testing.T) {\n\tq := New()\n\tq.Push(Job{ID: 1})\n\tif got := q.Len(); got != 1 {\n\t\tt.Fatalf(\"Len() = %d, want 1\", got)\n\t}\n}\n```"
    ),
    conversation!(
        "rust",
        "How can I avoid the clone here?",
        "Borrow the name instead of owning it:\n\n```rust\nfn greet(name: &str) -> String {\n    format!(\"Hello, {name}\")\n}\n```\n\nCallers with a `String` pass `&name`."
    ),
    conversation!(
        "java",
        "Turn this loop into a stream.",
        "Group by region and add up:\n\n```java\nMap<Region, Money> revenue = orders.stream()\n    .collect(groupingBy(Order::region, reducing(Money.ZERO, Order::total, Money::plus)));\n```"
    ),
    conversation!(
        "sql",
        "Why is this query slow?",
        "The filter wraps the column in a function, so the index cannot help. Compare with a range:\n\n```sql\nSELECT id FROM payments\nWHERE paid_at >= DATE '2026-11-01' AND paid_at < DATE '2026-12-01';\n```"
    ),
];

/// One of `items` that `fits`; any where none does.
#[expect(clippy::expect_used, reason = "the lists above are not empty")]
pub(crate) fn pick<T>(items: &'static [T], fits: impl Fn(&T) -> bool, rng: &mut Seeded) -> &'static T {
    let fitting: Vec<&T> = items.iter().filter(|item| fits(item)).collect();
    rng.pick(&fitting).copied().or_else(|| rng.pick(items)).expect("there is something to pick from")
}

/// The snippet that a prompt was made from, else one of the language, else any, by `choice`.
pub(crate) fn snippet_for(language: &str, prompt: &str, choice: u64) -> Option<&'static Snippet> {
    if let Some(exact) = SNIPPETS.iter().find(|snippet| prompt.ends_with(snippet.prefix)) {
        return Some(exact);
    }
    let same: Vec<_> = SNIPPETS.iter().filter(|snippet| snippet.language == language).collect();
    if same.is_empty() { choose(SNIPPETS, choice) } else { choose(&same, choice).copied() }
}

/// The conversation that contains a question, else any, by `choice`.
pub(crate) fn conversation_for(question: &str, choice: u64) -> Option<&'static Conversation> {
    let known = CONVERSATIONS.iter().find(|conversation| question.contains(conversation.question));
    known.or_else(|| choose(CONVERSATIONS, choice))
}

fn choose<T>(items: &[T], choice: u64) -> Option<&T> {
    let index = choice.checked_rem(items.len() as u64)?;
    items.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_gets_the_completion_that_fits() {
        let snippet = snippet_for(
            "go",
            "# Path: x.go\n// Push appends a job and wakes one worker.\nfunc (q *Queue) Push(job Job) {\n",
            0,
        );
        assert!(snippet.unwrap().completion.contains("q.ready.Signal()"));
        assert_eq!(snippet_for("java", "class Unknown {", 5).unwrap().language, "java");
        assert!(snippet_for("cobol", "", 99).is_some());
    }
}
