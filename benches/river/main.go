// Command river drains a PostgreSQL queue with River as its own `river bench` does: FetchCooldown 2 ms, poll 20 ms,
// here with 500 workers.
//
// `river DATABASE_URL JOBS` fills, prints `filled`, waits for a line, drains, prints `handled`, and ends when its
// standard input ends.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type noop struct {
	N   int    `json:"n"`
	Pad string `json:"pad"`
}

func (noop) Kind() string { return "noop" }

// worker marks every job that it works.
type worker struct {
	river.WorkerDefaults[noop]
	runs []atomic.Int32
	seen atomic.Int64
	all  chan struct{}
}

func (w *worker) Work(_ context.Context, job *river.Job[noop]) error {
	w.runs[job.Args.N].Add(1)
	if w.seen.Add(1) == int64(len(w.runs)) {
		close(w.all)
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 3 {
		return fmt.Errorf("river DATABASE_URL JOBS")
	}
	jobs, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer pool.Close()
	w := &worker{runs: make([]atomic.Int32, jobs), all: make(chan struct{})}
	client, err := prepare(ctx, pool, w)
	if err != nil {
		return err
	}
	if err := fill(ctx, pool, client, jobs); err != nil {
		return err
	}
	fmt.Println("filled")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-w.all
	fmt.Println("handled")
	if _, err := in.ReadString('\n'); err != nil && err != io.EOF {
		return err
	}
	if err := client.Stop(ctx); err != nil {
		return err
	}
	for n := range w.runs {
		if w.runs[n].Load() != 1 {
			return fmt.Errorf("job %d ran %d times", n, w.runs[n].Load())
		}
	}
	return nil
}

func prepare(ctx context.Context, pool *pgxpool.Pool, w *worker) (*river.Client[pgx.Tx], error) {
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	return river.NewClient(driver, &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 500}},
		Workers:           workers,
	})
}

func fill(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], jobs int) error {
	const batch = 5000
	for begin := 0; begin < jobs; begin += batch {
		params := make([]river.InsertManyParams, 0, batch)
		for n := begin; n < min(begin+batch, jobs); n++ {
			pad := 150 - len(fmt.Sprintf(`{"n":%d,"pad":""}`, n))
			params = append(params, river.InsertManyParams{Args: noop{N: n, Pad: strings.Repeat("x", pad)}})
		}
		if _, err := client.InsertManyFast(ctx, params); err != nil {
			return err
		}
	}
	_, err := pool.Exec(ctx, "VACUUM FULL ANALYZE river_job")
	return err
}
