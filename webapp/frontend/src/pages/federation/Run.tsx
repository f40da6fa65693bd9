export default function Run() {
  return <p>to come</p>;
}
