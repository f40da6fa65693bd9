export default function NewPrediction() {
  return <p>to come</p>;
}
