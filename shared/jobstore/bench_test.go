package jobstore

import "context"

// claimAll claims until nothing is left.
func claimAll(s *Store) error {
	for {
		_, found, err := s.Claim(context.Background(), workerName(), runnable())
		if err != nil || !found {
			return err
		}
	}
}
