/** Linear and logistic regression with a penalty on the size of the weights, in closed form or by Newton's method. Pure. */

/** `rows` x `columns`, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

export function matrixOf(lines: readonly (readonly number[])[]): Matrix {
  const columns = lines[0]?.length ?? 0;
  const values = new Float64Array(lines.length * columns);
  for (const [i, line] of lines.entries()) values.set(line, i * columns);
  return { rows: lines.length, columns, values };
}

export interface RidgeFit {
  /** Weights that predict a target of each row. */
  weightsFor(target: Float64Array): Float64Array;
  /** How much each row's own target moves its prediction, in [0, 1): without it, the prediction is (p - l·t) / (1 - l). */
  readonly leverage: Float64Array;
}

/** The first column is the constant, which is not penalised. `importance`: of each row, of mean 1. */
export function ridge(x: Matrix, importance: Float64Array, penalty: number): RidgeFit {
  const { rows, columns, values } = x;
  const gram = new Float64Array(columns * columns);
  for (let i = 0; i < rows; i++) {
    const at = i * columns;
    for (let a = 0; a < columns; a++) {
      const scaled = (values[at + a] ?? 0) * (importance[i] ?? 0);
      for (let b = 0; b < columns; b++) gram[a * columns + b] = (gram[a * columns + b] ?? 0) + scaled * (values[at + b] ?? 0);
    }
  }
  for (let a = 0; a < columns; a++) gram[a * columns + a] = (gram[a * columns + a] ?? 0) + (a === 0 ? 1e-6 : penalty);
  const inverse = inverted(gram, columns);
  // Row i of `projection`: what its target adds to each weight.
  const projection = new Float64Array(rows * columns);
  const leverage = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const at = i * columns;
    let own = 0;
    for (let a = 0; a < columns; a++) {
      let sum = 0;
      for (let b = 0; b < columns; b++) sum += (inverse[a * columns + b] ?? 0) * (values[at + b] ?? 0);
      projection[at + a] = sum * (importance[i] ?? 0);
      own += (projection[at + a] ?? 0) * (values[at + a] ?? 0);
    }
    leverage[i] = Math.min(MOST_LEVERAGE, own);
  }
  return {
    leverage,
    weightsFor(target) {
      const weights = new Float64Array(columns);
      for (let i = 0; i < rows; i++) {
        const t = target[i] ?? 0, at = i * columns;
        for (let a = 0; a < columns; a++) weights[a] = (weights[a] ?? 0) + t * (projection[at + a] ?? 0);
      }
      return weights;
    },
  };
}
const MOST_LEVERAGE = 0.9;

/** Of each row. */
export function predictions({ rows, columns, values }: Matrix, weights: Float64Array): Float64Array {
  const found = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let a = 0; a < columns; a++) sum += (weights[a] ?? 0) * (values[i * columns + a] ?? 0);
    found[i] = sum;
  }
  return found;
}

const ROUNDS = 30;
const LARGEST_MOVE = 2;
/** Weights of the log-odds of targets in [0, 1]. `penalties`: of each column. */
export function logisticRegression({ rows, columns, values }: Matrix, targets: Float64Array, penalties: readonly number[]): number[] {
  const weights = new Array<number>(columns).fill(0);
  for (let round = 0; round < ROUNDS; round++) {
    const gradient = weights.map((weight, a) => (penalties[a] ?? 0) * weight);
    const curvature = new Float64Array(columns * columns);
    for (let a = 0; a < columns; a++) curvature[a * columns + a] = (penalties[a] ?? 0) + 1e-9;
    for (let i = 0; i < rows; i++) {
      const at = i * columns;
      let logOdds = 0;
      for (let a = 0; a < columns; a++) logOdds += (weights[a] ?? 0) * (values[at + a] ?? 0);
      const p = 1 / (1 + Math.exp(-logOdds));
      for (let a = 0; a < columns; a++) {
        const x = values[at + a] ?? 0;
        gradient[a] = (gradient[a] ?? 0) + (p - (targets[i] ?? 0)) * x;
        for (let b = 0; b < columns; b++) curvature[a * columns + b] = (curvature[a * columns + b] ?? 0) + p * (1 - p) * x * (values[at + b] ?? 0);
      }
    }
    const inverse = inverted(curvature, columns);
    let largest = 0;
    for (let a = 0; a < columns; a++) {
      let move = 0;
      for (let b = 0; b < columns; b++) move += (inverse[a * columns + b] ?? 0) * (gradient[b] ?? 0);
      move = Math.max(-LARGEST_MOVE, Math.min(LARGEST_MOVE, move));
      weights[a] = (weights[a] ?? 0) - move;
      largest = Math.max(largest, Math.abs(move));
    }
    if (largest < 1e-6) break;
  }
  return weights;
}

/** Gauss-Jordan; of a symmetric positive definite matrix, so the diagonal serves as pivots. */
function inverted(matrix: Float64Array, size: number): Float64Array {
  const width = 2 * size;
  const work = new Float64Array(size * width);
  for (let i = 0; i < size; i++) {
    work.set(matrix.subarray(i * size, (i + 1) * size), i * width);
    work[i * width + size + i] = 1;
  }
  for (let pivot = 0; pivot < size; pivot++) {
    const divisor = work[pivot * width + pivot] ?? 1;
    for (let j = 0; j < width; j++) work[pivot * width + j] = (work[pivot * width + j] ?? 0) / divisor;
    for (let i = 0; i < size; i++) {
      const factor = i === pivot ? 0 : (work[i * width + pivot] ?? 0);
      if (factor !== 0) for (let j = 0; j < width; j++) work[i * width + j] = (work[i * width + j] ?? 0) - factor * (work[pivot * width + j] ?? 0);
    }
  }
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i++) inverse.set(work.subarray(i * width + size, (i + 1) * width), i * size);
  return inverse;
}
