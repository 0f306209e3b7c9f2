"""What operators compute with: weights of qualities, sums over columns, a softmax and rounding that suit them."""
